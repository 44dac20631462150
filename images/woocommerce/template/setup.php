<?php
// Everything a merchant would have to click before the first order: address, delivery, payment, pages, a few products.
// `wp eval-file`, in one process: each `wp` call costs a second.

require_once ABSPATH . 'wp-admin/includes/image.php';

/** @param array<string, mixed> $options */
function urumi_options(array $options): void
{
    foreach ($options as $name => $value) {
        update_option($name, $value);
    }
}

urumi_options([
    'blogdescription' => 'Good things for every day',
    'permalink_structure' => '/%postname%/',
    'default_comment_status' => 'closed',
    'default_ping_status' => 'closed',
    'timezone_string' => 'UTC',
    'woocommerce_coming_soon' => 'no',
    'woocommerce_store_pages_only' => 'no',
    'woocommerce_default_country' => 'US:CA',
    'woocommerce_currency' => 'USD',
    'woocommerce_store_address' => '1 Market Street',
    'woocommerce_store_city' => 'San Francisco',
    'woocommerce_store_postcode' => '94105',
    'woocommerce_calc_taxes' => 'no',
    'woocommerce_stock_format' => 'low_amount',
    'woocommerce_allow_tracking' => 'no',
    'woocommerce_show_marketplace_suggestions' => 'no',
    'woocommerce_task_list_hidden' => 'yes',
    'woocommerce_task_list_hidden_lists' => ['setup', 'extended', 'secret_tasklist'],
    'woocommerce_onboarding_profile' => ['skipped' => true],
    'woocommerce_cod_settings' => ['enabled' => 'yes'] + (array) get_option('woocommerce_cod_settings', [])
        + ['title' => 'Cash on delivery', 'description' => 'Pay with cash when your order arrives.', 'instructions' => 'Pay with cash when your order arrives.'],
]);
delete_transient('_wc_activation_redirect');
// After coming_soon = no: it would close the store at the merchant's first visit otherwise. It also switches HPOS on.
WC_Install::newly_installed();

$zone = new WC_Shipping_Zone();
$zone->set_zone_name('Everywhere');
$zone->save();
$rate = $zone->add_shipping_method('flat_rate');
update_option("woocommerce_flat_rate_{$rate}_settings", ['title' => 'Standard delivery', 'tax_status' => 'none', 'cost' => '5.00']);

// Nothing that only shows that WordPress was installed.
foreach (get_posts(['post_type' => ['post', 'page'], 'name' => '', 'post_status' => 'any', 'numberposts' => -1]) as $post) {
    if (in_array($post->post_name, ['hello-world', 'sample-page', 'privacy-policy'], true)) {
        wp_delete_post($post->ID, true);
    }
}
update_option('wp_page_for_privacy_policy', 0);

function urumi_picture(string $name, string $title): int
{
    $folder = wp_upload_dir(null, false)['basedir'] . '/products';
    wp_mkdir_p($folder);
    $image = imagecreatefrompng("/tmp/$name.png");
    imagewebp($image, "$folder/$name.webp", 88);
    $id = wp_insert_attachment(['post_title' => $title, 'post_mime_type' => 'image/webp', 'post_status' => 'inherit'], "$folder/$name.webp", 0, true);
    update_post_meta($id, '_wp_attachment_image_alt', $title);
    wp_update_attachment_metadata($id, wp_generate_attachment_metadata($id, "$folder/$name.webp"));
    return $id;
}

function urumi_category(string $name): int
{
    return (int) (term_exists($name, 'product_cat') ?: wp_insert_term($name, 'product_cat'))['term_id'];
}

foreach (json_decode(file_get_contents('/opt/template/products.json'), true) as $row) {
    $product = new WC_Product_Simple();
    $product->set_name($row['name']);
    $product->set_sku($row['sku']);
    $product->set_slug(sanitize_title($row['name']));
    $product->set_regular_price($row['price']);
    $product->set_sale_price($row['sale_price'] ?? '');
    $product->set_short_description($row['summary']);
    $product->set_description($row['description']);
    $product->set_category_ids([urumi_category($row['category'])]);
    $product->set_image_id(urumi_picture($row['picture'], $row['name']));
    $product->set_manage_stock(true);
    $product->set_stock_quantity(1000);
    $product->set_reviews_allowed(false);
    $product->save();
}

// The look: the standard block theme, with the shop's own front page, header and footer where the site editor would put them.
function urumi_blocks(string $file): string
{
    return trim(file_get_contents("/opt/template/blocks/$file.html"));
}

foreach (['header', 'footer'] as $area) {
    $id = wp_insert_post(['post_type' => 'wp_template_part', 'post_status' => 'publish', 'post_name' => $area, 'post_title' => ucfirst($area),
        'post_content' => wp_slash(urumi_blocks($area))], true);
    wp_set_object_terms($id, get_stylesheet(), 'wp_theme');
    wp_set_object_terms($id, $area, 'wp_template_part_area');
}
$home = wp_insert_post(['post_type' => 'page', 'post_status' => 'publish', 'post_title' => 'Home', 'post_content' => wp_slash(urumi_blocks('home')),
    'page_template' => 'page-no-title'], true);
urumi_options(['show_on_front' => 'page', 'page_on_front' => $home]);

$styles = wp_insert_post(['post_type' => 'wp_global_styles', 'post_status' => 'publish', 'post_title' => 'Custom Styles',
    'post_name' => 'wp-global-styles-' . get_stylesheet(), 'post_content' => wp_slash(file_get_contents('/opt/template/blocks/styles.json'))], true);
wp_set_object_terms($styles, get_stylesheet(), 'wp_theme');

// Flushing here would drop WooCommerce's endpoints; the first request writes the rules anew.
delete_option('rewrite_rules');
