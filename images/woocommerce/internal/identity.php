<?php
// POST: makes the running store this merchant's. Bearer token of this store; never logs or repeats what it is given.
declare(strict_types=1);

namespace Urumi;

require '/opt/urumi/store.php';

/** @param array<string, string> $errors */
function answer(int $status, string $detail = '', array $errors = []): never
{
    http_response_code($status);
    if ($status !== 204) {
        header('Content-Type: application/problem+json');
        $list = array_map(fn ($field, $message) => ['field' => $field, 'message' => $message], array_keys($errors), $errors);
        echo json_encode(['type' => 'about:blank', 'status' => $status, 'detail' => $detail] + ($list ? ['errors' => $list] : []));
    }
    exit;
}

if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    header('Allow: POST');
    answer(405, 'Send the identity by POST.');
}
$token = (string) getenv('IDENTITY_TOKEN');
if ($token === '' || !hash_equals("Bearer $token", $_SERVER['HTTP_AUTHORIZATION'] ?? '')) {
    header('WWW-Authenticate: Bearer');
    answer(401, 'The token is not the one of this store.');
}
$body = json_decode((string) file_get_contents('php://input', length: 65536), true);
if (!is_array($body)) {
    answer(400, 'The body must be a JSON object.');
}
try {
    $identity = Identity::from($body);
    $db = connect();
    lock($db, 5);
    personalise($db, $identity);
} catch (InvalidIdentity $e) {
    answer(422, 'The identity was not applied.', $e->fields);
} catch (\mysqli_sql_exception | \RuntimeException $e) {
    error_log('identity: ' . $e->getMessage());
    header('Retry-After: 2');
    answer(503, 'The database does not answer; nothing was changed.');
}
answer(204);
