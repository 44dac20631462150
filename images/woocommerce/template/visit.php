<?php
// One visit without a web server: visit.php PATH [COOKIES as JSON]. Its only purpose is the opcache file cache.
$path = $argv[1];
$cookies = json_decode($argv[2] ?? '{}', true);
$_COOKIE = $cookies;
$query = (string) parse_url($path, PHP_URL_QUERY);
parse_str($query, $_GET);
$_REQUEST = $_GET;
$file = (string) parse_url($path, PHP_URL_PATH);
$script = str_ends_with($file, '.php') ? $file : '/index.php';
$_SERVER = array_merge($_SERVER, [
    'REQUEST_METHOD' => 'GET', 'REQUEST_URI' => $path, 'QUERY_STRING' => $query, 'HTTP_HOST' => 'store.invalid', 'SERVER_NAME' => 'store.invalid',
    'SERVER_PORT' => '80', 'SERVER_PROTOCOL' => 'HTTP/1.1', 'REMOTE_ADDR' => '127.0.0.1', 'SCRIPT_NAME' => $script, 'PHP_SELF' => $script,
    'SCRIPT_FILENAME' => "/var/www/html$script", 'SERVER_SOFTWARE' => 'Apache', 'HTTP_USER_AGENT' => 'Mozilla/5.0',
]);
unset($argv, $argc);
register_shutdown_function(function () use ($path) {
    $body = '';
    while (ob_get_level()) {
        $body = ob_get_clean() . $body;
    }
    $error = error_get_last();
    $bad = in_array($error['type'] ?? 0, [E_ERROR, E_PARSE, E_COMPILE_ERROR], true) || strlen($body) < 2;
    fprintf(STDERR, "visit %s: %d bytes, status %s%s\n", $path, strlen($body), http_response_code() ?: 200, $bad ? ' FAILED ' . ($error['message'] ?? '') : '');
    if ($bad) {
        exit(1);
    }
});
ob_start();
chdir('/var/www/html' . dirname($script));
require "/var/www/html$script";
