#!/bin/sh
# Opens the shop: link the compiled code, see to the database and the pictures, then become Apache.
set -eu

mkdir -p /tmp/opcache
for folder in /opt/urumi/opcache/*; do
    ln -sfn "$folder" "/tmp/opcache/${folder##*/}"
done

# Once per volume, so that a picture which the merchant deletes stays deleted; -n, as a first copy may have been cut short.
uploads=/var/www/html/wp-content/uploads
if [ ! -e "$uploads/.seeded" ]; then
    cp -rn /opt/urumi/uploads/. "$uploads/"
    touch "$uploads/.seeded"
fi

php -d opcache.file_cache= /opt/urumi/start.php

# Only the start needs to know the admin.
exec env -u ADMIN_USER -u ADMIN_EMAIL -u ADMIN_PASSWORD apache2 -f /opt/urumi/apache.conf -DFOREGROUND
