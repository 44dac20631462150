<?php
// 200 when a shopper could order: the store API, asked over the public port, lists from the database.
declare(strict_types=1);

namespace Urumi;

require '/opt/urumi/store.php';

function reason(): ?string
{
    $context = stream_context_create(['http' => ['timeout' => 4, 'ignore_errors' => true, 'user_agent' => 'urumi-ready', 'header' => 'Connection: close']]);
    $body = @file_get_contents('http://127.0.0.1:8080/wp-json/wc/store/v1/products?per_page=1&_fields=id', false, $context);
    if ($body === false) {
        return 'the store API does not answer within 4 s on port 8080';
    }
    $status = explode(' ', $http_response_header[0] ?? '')[1] ?? '?';
    if ($status === '200' && is_array(json_decode($body, true))) {
        // An empty list is a merchant's choice: were it a reason, the way to wp-admin would be cut off.
        return null;
    }
    try {
        connect();
    } catch (\mysqli_sql_exception $e) {
        return 'the database does not answer: ' . $e->getMessage();
    }
    return "the store API answers $status";
}

$reason = reason();
http_response_code($reason === null ? 200 : 503);
header('Content-Type: text/plain');
echo $reason ?? 'ready', "\n";
