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

# A first page loads PHP's code and takes twice as long as the next ones, so it is asked for before a shopper or the platform
# can do it. Apache takes the place of this shell and reaps what it started.
(
    tries=100
    until curl -sfo /dev/null http://127.0.0.1:8081/-/ready || [ $((tries -= 1)) = 0 ]; do sleep 0.05; done
    curl -so /dev/null -A urumi-ready -H "Host: ${STORE_URL#*://}" -H "X-Forwarded-Proto: ${STORE_URL%%:*}" http://127.0.0.1:8080/
) &

# Only the start needs to know the admin.
exec env -u ADMIN_USER -u ADMIN_EMAIL -u ADMIN_PASSWORD apache2 -f /opt/urumi/apache.conf -DFOREGROUND
