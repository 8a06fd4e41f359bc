#!/bin/sh
# Back the service up while it runs: deploy/backup.sh REDIS-FOLDER STORE-FOLDER BACKUP-FOLDER
#
# Redis comes first, so that every record in the backup has its arrays; arrays whose record came later are swept away
# after a restore. Files of the store appear complete or not at all. Redis rewrites its append-only files now and then:
# a copy during which their list has changed is made again.
set -eu
[ $# = 3 ] || { echo "usage: $0 REDIS-FOLDER STORE-FOLDER BACKUP-FOLDER" >&2; exit 2; }
redis=$1 store=$2 backup=$3

copy() {
    rm -rf "$2"
    mkdir -p "$2"
    # what expires meanwhile is no failure
    tar -C "$1" --ignore-failed-read --warning=none -cf - . | tar -C "$2" -xpf -
}

list() { cat "$redis"/appendonlydir/*.manifest 2> /dev/null || true; }

umask 077
while
    before=$(list)
    copy "$redis" "$backup/redis"
    [ "$before" != "$(list)" ]
do
    sleep 1
done
copy "$store" "$backup/store"
