<?php
// One order through the store API, for the compiled code of a checkout; made after the dump, so no store ever sees it.
$_SERVER += ['HTTP_HOST' => 'store.invalid', 'REMOTE_ADDR' => '127.0.0.1'];
$_SERVER = ['REQUEST_METHOD' => 'POST', 'REQUEST_URI' => '/wp-json/wc/store/v1/checkout', 'HTTP_USER_AGENT' => 'Mozilla/5.0'] + $_SERVER;
require '/var/www/html/wp-load.php';
add_filter('woocommerce_store_api_disable_nonce_check', '__return_true');
wc_load_cart();

function ask(string $route, array $body): array
{
    $request = new WP_REST_Request('POST', "/wc/store/v1/$route");
    $request->set_body_params($body);
    $response = rest_do_request($request);
    if ($response->get_status() >= 400) {
        fwrite(STDERR, "order: $route answers {$response->get_status()}: " . json_encode($response->get_data()) . "\n");
        exit(1);
    }
    return (array) $response->get_data();
}

$address = ['first_name' => 'Ada', 'last_name' => 'Buyer', 'address_1' => '1 Market St', 'city' => 'San Francisco', 'state' => 'CA',
    'postcode' => '94105', 'country' => 'US', 'phone' => '4155550100'];
ask('cart/add-item', ['id' => wc_get_product_id_by_sku('MUG-01'), 'quantity' => 1]);
ask('cart/update-customer', ['billing_address' => $address + ['email' => 'ada@example.com'], 'shipping_address' => $address]);
$order = ask('checkout', ['billing_address' => $address + ['email' => 'ada@example.com'], 'shipping_address' => $address, 'payment_method' => 'cod']);
fprintf(STDERR, "order: %d %s\n", $order['order_id'], $order['status']);
