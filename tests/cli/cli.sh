# What the tests of the command line program share: sourced, with $lunaq set
# and a private Redis at $REDIS_SOCKET.
# shellcheck shell=bash disable=SC2034
failures=0 out='' err='' rc=0

run() {
  out=$("$lunaq" "$@" 2>err.txt </dev/null)
  rc=$?
  err=$(<err.txt)
}

report() { # NAME OK?
  if [ "$2" -eq 0 ]; then
    echo "ok   $1"
  else
    echo "FAIL $1"
    echo "     exit $rc"
    echo "     out  $out"
    echo "     err  $err"
    failures=$((failures + 1))
  fi
}

# good NAME TEXT args…: exit 0, nothing on stderr, TEXT in the output
good() {
  local name=$1 text=$2
  shift 2
  run "$@"
  [ "$rc" -eq 0 ] && [ -z "$err" ] && [[ $out == *"$text"* ]]
  report "$name" $?
}

# bad NAME EXIT TEXT args…: nothing on stdout, one line on stderr with TEXT,
# which says what to do
bad() {
  local name=$1 code=$2 text=$3
  shift 3
  run "$@"
  [ "$rc" -eq "$code" ] && [ "$(wc -l <err.txt)" -eq 1 ] &&
    [[ $err == "lunaq: "*"$text"* ]]
  report "$name" $?
}

# json NAME TEXT args…: the output is JSON, and TEXT is in it
json() {
  local name=$1 text=$2
  shift 2
  run "$@" --json
  [ "$rc" -eq 0 ] && [[ $out == *"$text"* ]] &&
    [ "$(r eval 'cjson.decode(ARGV[1]) return "ok"' 0 "$out")" = ok ]
  report "$name" $?
}

check() { # NAME GOT WANTED
  [ "$2" = "$3" ]
  local ok=$?
  [ $ok -eq 0 ] || echo "     got '$2', wanted '$3'"
  report "$1" $ok
}

r() { redis-cli -s "$REDIS_SOCKET" "$@"; }

# finish: exit 1 when something failed
finish_tests() {
  echo
  if [ "$failures" -gt 0 ]; then
    echo "$failures failed"
    exit 1
  fi
  exit 0
}
