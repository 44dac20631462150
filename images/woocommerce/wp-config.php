<?php
// Everything that differs between stores comes from the environment, except the address: siteurl and home are in the
// database, so that a running store can be given another one.

define('DB_HOST', getenv('DB_HOST'));
define('DB_NAME', getenv('DB_NAME'));
define('DB_USER', getenv('DB_USER'));
define('DB_PASSWORD', getenv('DB_PASSWORD'));
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
$table_prefix = 'wp_';

foreach (['AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY', 'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT'] as $key) {
    define($key, getenv($key));
}

// TLS ends at the ingress; without this the login loops.
if (($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '') === 'https') {
    $_SERVER['HTTPS'] = 'on';
}

// The code is part of the image and read-only; a new version is a new image.
define('DISALLOW_FILE_MODS', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_AUTO_UPDATE_CORE', false);
// WordPress would ask for an FTP login, as it does not own its code; pictures and logs are all that it writes.
define('FS_METHOD', 'direct');

// A CronJob calls /-/cron: no visitor pays for it, and a shop without visitors has it too.
define('DISABLE_WP_CRON', true);

define('WP_MEMORY_LIMIT', '256M');
define('WP_DEBUG', false);

if (!defined('ABSPATH')) {
    define('ABSPATH', __DIR__ . '/');
}
require_once ABSPATH . 'wp-settings.php';
