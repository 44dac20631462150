#!/bin/sh
# Makes a shop in a throw-away database; leaves in /out what a new store starts from:
# template.sql.gz, uploads/ and opcache/.
set -eu

data=/tmp/template-db socket=/tmp/template-db.sock
export DB_HOST="localhost:$socket" DB_NAME=template DB_USER=template DB_PASSWORD=template HOME=/tmp
for key in AUTH_KEY SECURE_AUTH_KEY LOGGED_IN_KEY NONCE_KEY AUTH_SALT SECURE_AUTH_SALT LOGGED_IN_SALT NONCE_SALT; do
    export "$key=template"
done
as_shop() { setpriv --reuid=33 --regid=33 --clear-groups "$@"; }
wp() { as_shop php -d opcache.file_cache= -d sendmail_path=/bin/true /usr/local/bin/wp --path=/var/www/html "$@"; }
sql() { mariadb --protocol=socket --socket="$socket" --user=root "$@"; }

mkdir -p /out/opcache "$data" && chown mysql "$data"
chown -R www-data /var/www/html/wp-content/uploads /out/opcache
# Only by socket: the build may share its network with others.
mariadb-install-db --user=mysql --datadir="$data" --skip-test-db >/dev/null
mariadbd --no-defaults --user=mysql --datadir="$data" --socket="$socket" --pid-file=/tmp/template-db.pid --skip-networking \
    --innodb-flush-log-at-trx-commit=0 >/tmp/template-db.log 2>&1 &
for _ in $(seq 100); do sql -e 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.1; done
sql -e "CREATE DATABASE template CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;
        CREATE USER template@localhost IDENTIFIED BY 'template'; GRANT ALL ON template.* TO template@localhost"

for picture in /opt/template/pictures/*.svg; do
    rsvg-convert --width=1000 --height=1000 --output="/tmp/$(basename "$picture" .svg).png" "$picture"
done

wp core install --url=http://store.invalid --title=Urumi --admin_user=urumi-template --admin_email=template@store.invalid \
    --admin_password="$(head -c 24 /dev/urandom | base64)" --skip-email
wp theme activate twentytwentyfive
wp plugin activate woocommerce
wp --user=1 eval-file /opt/template/setup.php
wp cron event run --due-now >/dev/null

# What belongs to this one installation, or is only cached.
sql template <<'SQL'
DELETE FROM wp_options WHERE option_name LIKE '\_transient\_%' OR option_name LIKE '\_site\_transient\_%';
DELETE FROM wp_options WHERE option_name IN ('woocommerce_store_id', 'woocommerce_admin_install_timestamp', 'woocommerce_maxmind_geolocation_settings',
    'woocommerce_remote_variant_assignment', 'woocommerce_paypal_settings', 'woocommerce_pos_store_email', 'rewrite_rules', 'recovery_keys', 'auth_key', 'auth_salt');
DELETE FROM wp_usermeta WHERE meta_key = 'session_tokens';
DELETE FROM wp_woocommerce_sessions;
DELETE FROM wp_actionscheduler_logs;
DELETE FROM wp_actionscheduler_actions WHERE status IN ('complete', 'failed', 'canceled');
UPDATE wp_users SET user_pass = '*' WHERE ID = 1;
SQL
mariadb-dump --protocol=socket --socket="$socket" --user=root --skip-comments --skip-add-locks --skip-disable-keys --skip-set-charset \
    --default-character-set=utf8mb4 --no-tablespaces template | grep -v '^/\*M!999999' | gzip -9 > /out/template.sql.gz
mv /var/www/html/wp-content/uploads /out/uploads && mkdir /var/www/html/wp-content/uploads
rm -rf /out/uploads/wc-logs/*.log
cp -r /out/uploads/. /var/www/html/wp-content/uploads/ && chown -R www-data /var/www/html/wp-content/uploads

# What visitors and the merchant open first, so that its compiled code is in the image.
cookies=$(wp eval '
    $until = time() + 3600;
    echo json_encode([AUTH_COOKIE => wp_generate_auth_cookie(1, $until, "auth"), LOGGED_IN_COOKIE => wp_generate_auth_cookie(1, $until, "logged_in")]);')
visit() {
    as_shop php -d opcache.enable_cli=1 -d opcache.file_cache=/out/opcache -d opcache.file_cache_only=1 /opt/template/visit.php "$@"
}
for path in / /shop/ /product/stoneware-mug/ /cart/ /my-account/ "/?s=for&post_type=product" /wp-login.php \
    "/wp-json/wc/store/v1/products?per_page=1" /wp-json/wc/store/v1/cart; do
    visit "$path"
done
for path in /wp-admin/index.php "/wp-admin/admin.php?page=wc-orders" "/wp-admin/admin.php?page=wc-admin" "/wp-admin/edit.php?post_type=product" \
    "/wp-admin/post-new.php?post_type=product"; do
    visit "$path" "$cookies"
done
as_shop php -d opcache.enable_cli=1 -d opcache.file_cache=/out/opcache -d opcache.file_cache_only=1 /opt/template/order.php

sql -e SHUTDOWN
ls -l /out; du -sh /out/uploads /out/opcache
