<?php
/**
 * Plugin Name: Urumi
 * Description: What a shop in a closed pod needs: no requests to itself or to the vendors, no XML-RPC, slow password guessing.
 */

// A pod cannot reach its own public address (NetworkPolicy): such a request would hang until it times out.
add_filter('block_local_requests', '__return_true');
add_filter('action_scheduler_allow_async_request_runner', '__return_false');

// Updates come as a new image, so asking the vendors is only a delay. Webhooks and payment APIs still go out.
add_filter('pre_http_request', function ($answer, $args, $url) {
    $host = (string) wp_parse_url($url, PHP_URL_HOST);
    if (preg_match('/(^|\.)(wordpress\.org|wordpress\.com|woocommerce\.com|wp\.com|gravatar\.com)$/', $host)) {
        return new WP_Error('urumi_no_vendor', "Requests to $host are switched off: this shop is updated with its image.");
    }
    return $answer;
}, 10, 3);

add_filter('xmlrpc_enabled', '__return_false');
remove_action('wp_head', 'rsd_link');
remove_action('wp_head', 'wp_generator');

// Login names are half of a login: the public has no use for them.
add_filter('rest_endpoints', function ($endpoints) {
    if (!is_user_logged_in()) {
        unset($endpoints['/wp/v2/users'], $endpoints['/wp/v2/users/(?P<id>[\d]+)']);
    }
    return $endpoints;
});
add_action('template_redirect', function () {
    if (is_author()) {
        wp_safe_redirect(home_url('/'));
        exit;
    }
}, 1);
add_filter('oembed_response_data', function ($data) {
    unset($data['author_name'], $data['author_url']);
    return $data;
});

// Ten wrong passwords from one address within ten minutes: the eleventh fails, right or wrong.
function urumi_login_key(): string
{
    return 'urumi_login_' . md5($_SERVER['REMOTE_ADDR'] ?? '');
}
add_action('wp_login_failed', function () {
    set_transient(urumi_login_key(), (int) get_transient(urumi_login_key()) + 1, 10 * MINUTE_IN_SECONDS);
});
add_filter('authenticate', function ($user, $name) {
    if ($name !== '' && (int) get_transient(urumi_login_key()) >= 10) {
        return new WP_Error('urumi_too_many', 'Too many wrong passwords from your address. Please try again in ten minutes.');
    }
    return $user;
}, 99, 2);
