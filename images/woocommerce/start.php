<?php
// Makes the database a shop and the shop this store's, once. Safe when two start at once; a second start changes nothing.
declare(strict_types=1);

namespace Urumi;

require __DIR__ . '/store.php';

const PATIENCE = 180;

function say(string $what): void
{
    fprintf(STDERR, "start: %s (%.2f s)\n", $what, microtime(true) - $_SERVER['REQUEST_TIME_FLOAT']);
}

/** A port that is tried four times a second: a first packet which is lost would otherwise cost a whole one. */
function await_port(): void
{
    $host = getenv('DB_HOST') ?: '';
    $socket = @fsockopen($host, 3306, $code, $reason, 0.25);
    if ($socket === false) {
        throw new \mysqli_sql_exception($reason ?: 'no answer');
    }
    fclose($socket);
}

function open_shop(): void
{
    await_port();
    $db = connect();
    say('database answers');
    lock($db, PATIENCE);
    if (restore($db, __DIR__ . '/template.sql.gz')) {
        say('template restored');
    }
    if (!is_template($db)) {
        say('the shop has its owner: nothing to do');
        return;
    }
    make_unique($db, getenv('STORE_ID') ?: '');
    personalise($db, Identity::from([
        'name' => getenv('STORE_NAME'), 'url' => getenv('STORE_URL'), 'host' => parse_url(getenv('STORE_URL') ?: '', PHP_URL_HOST),
        'admin_email' => getenv('ADMIN_EMAIL'), 'admin_user' => getenv('ADMIN_USER'), 'admin_password' => getenv('ADMIN_PASSWORD'),
    ]));
    say('identity applied');
}

for ($reason = null;;) {
    try {
        open_shop();
        exit(0);
    } catch (InvalidIdentity $e) {
        fprintf(STDERR, "start: %s. Correct the store's values or its Secret.\n", $e->getMessage());
        exit(1);
    } catch (\mysqli_sql_exception $e) {
        // A database that is starting, or was killed in the middle of the restore, is worth another try.
        if ($reason !== $e->getMessage()) {
            $reason = $e->getMessage();
            say('trying until the database at ' . getenv('DB_HOST') . " is there: $reason");
        }
    } catch (\Throwable $e) {
        fprintf(STDERR, "start: %s\n", $e->getMessage());
        exit(1);
    }
    if (microtime(true) - $_SERVER['REQUEST_TIME_FLOAT'] > PATIENCE) {
        fprintf(STDERR, "start: no usable database at %s after %d s: %s. Look at the pod of the StatefulSet database.\n", getenv('DB_HOST'), PATIENCE, $reason);
        exit(1);
    }
    usleep(100_000);
}
