# Private Redis and PostgreSQL servers on Unix sockets, for the demo and for
# tests.  Sourced by bash scripts:
#
#     . scripts/private-servers.sh
#     private_begin                 a temporary folder: $PRIVATE
#     trap private_end EXIT         stops all servers, removes the folder
#     private_redis                 sets LUNAQ_BROKER and $REDIS_SOCKET
#     private_postgres              sets DATABASE_URL
#     private_sqlite                the same, to a SQLite file
#     private_sql SQL               runs it on the one of the two that is set
#     private_run NAME command…     starts a program in the background, its
#                                   output in $PRIVATE/NAME.log, its id in $!
#
# Nothing listens on a network port, and only this user can reach the sockets.

private_pids=()

private_begin() {
  PRIVATE=$(mktemp -d "${TMPDIR:-/tmp}/lunaq-XXXXXX")
}

private_say() { echo "$*" >&2; }

# private_stop PID [SIGNAL]: ends one program within ten seconds and returns its
# exit status.
private_stop() {
  local pid=$1 rc=0 p left=() end=$((SECONDS + 10))
  kill -"${2:-TERM}" "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do
    sleep 0.02
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" || rc=$?
  for p in "${private_pids[@]}"; do
    [ "$p" = "$pid" ] || left+=("$p")
  done
  private_pids=("${left[@]}")
  return "$rc"
}

private_end() {
  local rc=$? i pid signal pids=("${private_pids[@]}")
  trap - EXIT
  # The last one started uses the ones before it.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    signal=TERM
    # PostgreSQL takes TERM as "when all clients have gone".
    [ "${pids[i]}" != "${POSTGRES_PID:-}" ] || signal=INT
    private_stop "${pids[i]}" "$signal" 2>/dev/null || true
  done
  [ -z "${PRIVATE:-}" ] || rm -rf "$PRIVATE"
  exit "$rc"
}

private_run() {
  local name=$1
  shift
  "$@" >>"$PRIVATE/$name.log" 2>&1 &
  private_pids+=($!)
}

# private_wait SECONDS WHAT command…: until the command succeeds.  On a busy
# machine that may take three times as long.
private_wait() {
  local end=$((SECONDS + 3 * $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then
      private_say "waited in vain: $what"
      return 1
    fi
    sleep 0.05
  done
}

private_redis() {
  REDIS_SOCKET=$PRIVATE/redis.sock
  private_run redis redis-server --port 0 --unixsocket "$REDIS_SOCKET" \
    --unixsocketperm 700 --save '' --appendonly no --dir "$PRIVATE"
  REDIS_PID=$!
  private_wait 10 "redis-server answers" redis-cli -s "$REDIS_SOCKET" ping
  unset REDIS_URL REDIS_ADDR
  export LUNAQ_BROKER=redis-socket://$REDIS_SOCKET
}

# PostgreSQL refuses to run as root: then it runs as the user of its package.
private_postgres() {
  local bin as=()
  bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
  if [ ! -x "$bin/initdb" ]; then
    private_say "no PostgreSQL under /usr/lib/postgresql: scripts/setup.sh --servers"
    return 1
  fi
  PGDIR=$PRIVATE/postgres
  mkdir -m 700 "$PGDIR"
  if [ "$(id -u)" -eq 0 ]; then
    chmod 711 "$PRIVATE"
    chown postgres: "$PGDIR"
    as=(setpriv --reuid postgres --regid postgres --clear-groups)
  fi
  (cd "$PGDIR" && "${as[@]}" "$bin/initdb" -D "$PGDIR/data" -U lunaq -A trust \
    -E UTF8 --locale C -N) >"$PRIVATE/initdb.log" 2>&1 || {
    cat "$PRIVATE/initdb.log" >&2
    return 1
  }
  PG_COMMAND=("${as[@]}" "$bin/postgres" -D "$PGDIR/data" -k "$PGDIR"
    -c listen_addresses= -c fsync=off)
  private_postgres_start
  export DATABASE_URL="postgres://lunaq@/postgres?host=$PGDIR"
}

# Also after PostgreSQL was stopped: private_stop "$POSTGRES_PID" INT.
private_postgres_start() {
  cd "$PGDIR" || return 1
  private_run postgres "${PG_COMMAND[@]}"
  POSTGRES_PID=$!
  cd - >/dev/null || return 1
  private_wait 20 "PostgreSQL answers" pg_isready -q -h "$PGDIR"
}

private_sqlite() {
  export DATABASE_URL=sqlite:$PRIVATE/app.db
}

private_sql() {
  case "$DATABASE_URL" in
  sqlite:*)
    printf '%s\n' "$1" |
      sqlite3 -batch -bail -cmd '.timeout 5000' "${DATABASE_URL#sqlite:}"
    ;;
  *) psql -Atq -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "$1" ;;
  esac
}
