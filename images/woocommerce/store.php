<?php
/**
 * What the start and the internal port share: the connection, the restore and the identity of a store.
 *
 * Plain SQL, without WordPress: loading WordPress takes ten times as long as the change itself.
 */
declare(strict_types=1);

namespace Urumi;

use mysqli;
use mysqli_result;
use mysqli_sql_exception;
use RuntimeException;

const TEMPLATE_ADMIN = 'urumi-template';
/** Exists exactly while a dump is being loaded: its first statement makes this table, its last one drops it. */
const RESTORING = 'urumi_restoring';

/** A body or an environment that names no store; `fields` says what is wrong with which field. */
final class InvalidIdentity extends RuntimeException
{
    /** @param array<string, string> $fields */
    public function __construct(public readonly array $fields)
    {
        parent::__construct('invalid identity: ' . implode('; ', array_map(fn ($f, $m) => "$f: $m", array_keys($fields), $fields)));
    }
}

/** Whose store it is. */
final class Identity
{
    private function __construct(
        public readonly string $name,
        public readonly string $url,
        public readonly string $adminEmail,
        public readonly string $adminUser,
        #[\SensitiveParameter] public readonly string $adminPassword,
    ) {
    }

    /** @param array<mixed> $given */
    public static function from(#[\SensitiveParameter] array $given): self
    {
        $text = fn (string $key): string => is_string($given[$key] ?? null) ? trim($given[$key]) : '';
        $url = rtrim($text('url'), '/');
        $host = strtolower((string) parse_url($url, PHP_URL_HOST));
        $wrong = [];
        if ($text('name') === '' || mb_strlen($text('name')) > 200) {
            $wrong['name'] = 'must be a text of 1 to 200 characters';
        }
        if (!preg_match('#^https?://[a-z0-9.-]+(:\d{1,5})?$#i', $url)) {
            $wrong['url'] = 'must be http(s)://host or http(s)://host:port';
        } elseif (strtolower($text('host')) !== $host) {
            $wrong['host'] = "must be the host of the url, which is $host";
        }
        // Wider than PHP's filter, which refuses owner@localhost and every name beyond ASCII.
        if (!preg_match('/^[^\s@<>"]{1,64}@[^\s@<>"]+$/u', $text('admin_email')) || mb_strlen($text('admin_email')) > 100) {
            $wrong['admin_email'] = 'must be an e-mail address of at most 100 characters';
        }
        if (!preg_match('/^[a-z0-9][a-z0-9._@-]{0,59}$/i', $text('admin_user')) || $text('admin_user') === TEMPLATE_ADMIN) {
            $wrong['admin_user'] = 'must be a login name of 1 to 60 letters, digits, and . _ @ -';
        }
        if (strlen($text('admin_password')) < 8 || strlen($text('admin_password')) > 4096) {
            $wrong['admin_password'] = 'must have 8 to 4096 characters';
        }
        if ($wrong) {
            throw new InvalidIdentity($wrong);
        }
        return new self($text('name'), $url, $text('admin_email'), $text('admin_user'), $text('admin_password'));
    }
}

function connect(): mysqli
{
    $db = mysqli_init();
    $db->options(MYSQLI_OPT_CONNECT_TIMEOUT, 3);
    $db->real_connect(getenv('DB_HOST') ?: '', getenv('DB_USER') ?: '', getenv('DB_PASSWORD') ?: '', getenv('DB_NAME') ?: '');
    $db->set_charset('utf8mb4');
    return $db;
}

/** Runs one statement. A connection that dies at the wrong moment answers false instead of throwing. */
function run(mysqli $db, string $sql, string ...$parameters): mysqli_result|true
{
    return $db->execute_query($sql, $parameters) ?: throw new mysqli_sql_exception($db->error ?: 'the connection was lost');
}

/** One value of the first row, or null. */
function value(mysqli $db, string $sql, string ...$parameters): ?string
{
    $row = run($db, $sql, ...$parameters)->fetch_row();
    return isset($row[0]) ? (string) $row[0] : null;
}

/** Only one start at a time may restore or personalise; the lock ends with the connection. */
function lock(mysqli $db, int $seconds): void
{
    if (value($db, "SELECT GET_LOCK(CONCAT('urumi.', DATABASE()), $seconds)") !== '1') {
        throw new RuntimeException("another start held the lock of the database for $seconds s");
    }
}

/**
 * Loads the dump into an empty or half restored database; true if it did.
 *
 * Tables without the mark of an unfinished restore are a shop, and are never touched.
 */
function restore(mysqli $db, string $dump): bool
{
    $tables = array_column(run($db, 'SHOW TABLES')->fetch_all(), 0);
    if ($tables && !in_array(RESTORING, $tables, true)) {
        return false;
    }
    run($db, 'SET foreign_key_checks = 0');
    // The mark goes last: a kill between two drops must not leave tables without it.
    usort($tables, fn ($a, $b) => ($a === RESTORING) <=> ($b === RESTORING));
    foreach ($tables as $table) {
        run($db, "DROP TABLE `$table`");
    }
    $sql = gzdecode((string) file_get_contents($dump));
    if ($sql === false) {
        throw new RuntimeException("$dump is missing or damaged: build the image again");
    }
    $db->multi_query('CREATE TABLE ' . RESTORING . " (at INT);\n$sql\nDROP TABLE " . RESTORING);
    while ($db->more_results()) {
        $db->next_result();
    }
    if (value($db, 'SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?', RESTORING) !== '0') {
        throw new mysqli_sql_exception('the restore was cut short');
    }
    return true;
}

function is_template(mysqli $db): bool
{
    return value($db, 'SELECT user_login FROM wp_users WHERE ID = 1') === TEMPLATE_ADMIN;
}

/** As WordPress 6.8 and later writes it, so that it need not be written again at the first login. */
function password_hash(#[\SensitiveParameter] string $password): string
{
    return '$wp' . \password_hash(prehash($password), PASSWORD_BCRYPT);
}

function password_matches(#[\SensitiveParameter] string $password, string $hash): bool
{
    return str_starts_with($hash, '$wp') && password_verify(prehash($password), substr($hash, 3));
}

function prehash(#[\SensitiveParameter] string $password): string
{
    return base64_encode(hash_hmac('sha384', $password, 'wp-sha384', true));
}

/**
 * Makes the store this merchant's; can be repeated, and changes nothing when repeated.
 *
 * The merchant's admin is user 1, who is made again if somebody deleted it. Sessions end only when the login changes.
 */
function personalise(mysqli $db, Identity $who): void
{
    $taken = fn (string $column, string $value): bool => value($db, "SELECT ID FROM wp_users WHERE $column = ? AND ID <> 1", $value) !== null;
    $wrong = [];
    if ($taken('user_login', $who->adminUser)) {
        $wrong['admin_user'] = 'is the login name of another user of this store';
    }
    if ($taken('user_email', $who->adminEmail)) {
        $wrong['admin_email'] = 'is the address of another user of this store';
    }
    if ($wrong) {
        throw new InvalidIdentity($wrong);
    }

    $old = run($db, 'SELECT user_login, user_pass FROM wp_users WHERE ID = 1')->fetch_assoc();
    $same = $old && $old['user_login'] === $who->adminUser && password_matches($who->adminPassword, $old['user_pass']);
    $hash = $same ? $old['user_pass'] : password_hash($who->adminPassword);
    $oldUrl = (string) value($db, "SELECT option_value FROM wp_options WHERE option_name = 'siteurl'");

    run($db, 'START TRANSACTION');
    set_options($db, [
        'siteurl' => $who->url, 'home' => $who->url, 'blogname' => htmlspecialchars($who->name, ENT_QUOTES), 'admin_email' => $who->adminEmail,
        'woocommerce_email_from_name' => $who->name, 'woocommerce_email_from_address' => $who->adminEmail,
        'woocommerce_stock_email_recipient' => $who->adminEmail,
    ]);
    run($db, "DELETE FROM wp_options WHERE option_name IN ('new_admin_email', 'adminhash')");
    if ($oldUrl !== '' && $oldUrl !== $who->url) {
        move_content($db, $oldUrl, $who->url);
    }
    $nice = trim((string) preg_replace('/[^a-z0-9]+/', '-', strtolower($who->adminUser)), '-');
    run(
        $db,
        'INSERT INTO wp_users (ID, user_login, user_pass, user_nicename, user_email, user_registered, display_name) VALUES (1, ?, ?, ?, ?, UTC_TIMESTAMP(), ?)
         ON DUPLICATE KEY UPDATE user_login = VALUES(user_login), user_pass = VALUES(user_pass), user_nicename = VALUES(user_nicename),
         user_email = VALUES(user_email), display_name = VALUES(display_name), user_activation_key = \'\'',
        $who->adminUser,
        $hash,
        $nice,
        $who->adminEmail,
        $who->adminUser,
    );
    set_user($db, ['wp_capabilities' => 'a:1:{s:13:"administrator";b:1;}', 'wp_user_level' => '10', 'nickname' => $who->adminUser,
        'billing_email' => $who->adminEmail]);
    if (!$same) {
        run($db, "DELETE m FROM wp_usermeta m JOIN wp_usermeta c ON c.user_id = m.user_id AND c.meta_key = 'wp_capabilities'
            WHERE m.meta_key = 'session_tokens' AND c.meta_value LIKE '%\"administrator\"%'");
    }
    run($db, 'COMMIT');
}

/** What must differ between two installations: set once, when the template becomes a store. */
function make_unique(mysqli $db, string $storeId): void
{
    set_options($db, ['woocommerce_store_id' => $storeId, 'woocommerce_admin_install_timestamp' => (string) time()]);
}

/** @param array<string, string> $options */
function set_options(mysqli $db, array $options): void
{
    foreach ($options as $name => $value) {
        run(
            $db,
            "INSERT INTO wp_options (option_name, option_value, autoload) VALUES (?, ?, 'on') ON DUPLICATE KEY UPDATE option_value = VALUES(option_value)",
            $name,
            $value,
        );
    }
}

/** @param array<string, string> $meta */
function set_user(mysqli $db, array $meta): void
{
    foreach ($meta as $key => $value) {
        run($db, 'UPDATE wp_usermeta SET meta_value = ? WHERE user_id = 1 AND meta_key = ?', $value, $key);
        if (value($db, 'SELECT umeta_id FROM wp_usermeta WHERE user_id = 1 AND meta_key = ?', $key) === null) {
            run($db, 'INSERT INTO wp_usermeta (user_id, meta_key, meta_value) VALUES (1, ?, ?)', $key, $value);
        }
    }
}

/** Links within texts, and whatever was cached with the old address. */
function move_content(mysqli $db, string $from, string $to): void
{
    $like = '%' . addcslashes($from, '%_\\') . '%';
    run($db, 'UPDATE wp_posts SET post_content = REPLACE(post_content, ?, ?) WHERE post_content LIKE ?', $from, $to, $like);
    run($db, 'UPDATE wp_posts SET guid = REPLACE(guid, ?, ?) WHERE guid LIKE ?', $from, $to, $like);
    $escaped = '%' . addcslashes(str_replace('/', '\/', $from), '%_\\') . '%';
    run(
        $db,
        "DELETE FROM wp_options WHERE (option_name LIKE '\\_transient\\_%' OR option_name LIKE '\\_site\\_transient\\_%') AND (option_value LIKE ? OR option_value LIKE ?)",
        $like,
        $escaped,
    );
}
