#!/usr/bin/env bash
# Runs a real Kafka of one or three nodes on loopback, for tests. Linux; needs Docker, or else Java 17 and Maven.
#
#   kafka.sh start  [--brokers 1|3]   starts what does not run, waits until it serves, prints the bootstrap servers last
#   kafka.sh status                   "broker N: up, pid P, ADDRESS" or "broker N: down" for each; fails unless all are up
#   kafka.sh kill9  N...              kills brokers with SIGKILL; start brings them back with their data
#   kafka.sh stop   [--clean]         stops all brokers; --clean removes their data
#   kafka.sh groups|topics -- ARGS    Kafka's own kafka-consumer-groups or kafka-topics
#   kafka.sh run-by                   what start would choose now: containers or java, see KAFKA_RUN_BY
#
# --port P (29092) names a cluster: broker N's clients connect to P+2(N-1), its controller listens on the next port.
# --dir D (below TMPDIR) is where its data, logs and pids are.
#
# KAFKA_EXTRA        lines added to every server.properties, where the last line of a name counts
# KAFKA_HEAP_OPTS    of a broker's JVM (-Xms256m -Xmx512m)
# KAFKA_RUN_BY       containers or java; unset: containers if Docker has or can pull the image, else java
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$here/kafka/pom.xml")
image=apache/kafka:$version
fail() { echo "kafka.sh: $*" >&2; exit 1; }

command=${1:-} port=29092 dir='' brokers='' clean='' rest=()
[ $# = 0 ] || shift
while [ $# -gt 0 ]; do
  case $1 in
    --port) port=$2; shift ;;
    --dir) dir=$2; shift ;;
    --brokers) brokers=$2; shift ;;
    --clean) clean=yes ;;
    --) shift; rest+=("$@"); break ;;
    -*) fail "unknown flag $1; the flags are --port, --dir, --brokers and --clean" ;;
    *) rest+=("$1") ;;
  esac
  shift
done
dir=$(realpath -m "${dir:-${TMPDIR:-/tmp}/neuronx-ci-kafka-$port}")

# What the first start decided holds until stop --clean.
run_by='' cluster_id=''
if [ -f "$dir/cluster" ]; then
  asked=$brokers
  # shellcheck disable=SC1091
  . "$dir/cluster" # sets port, brokers, run_by and cluster_id
  [ "${asked:-$brokers}" = "$brokers" ] || fail "$dir holds a cluster of $brokers, not of $asked; remove it with: kafka.sh stop --clean --port $port --dir $dir"
fi
brokers=${brokers:-1}
[ "$brokers" = 1 ] || [ "$brokers" = 3 ] || fail "--brokers is 1 or 3, not $brokers"

all() { seq 1 "$brokers"; }
client() { echo "127.0.0.1:$((port + 2 * ($1 - 1)))"; }
controller() { echo "127.0.0.1:$((port + 2 * ($1 - 1) + 1))"; }
each() { for n in $(all); do "$@" "$n"; done | paste -sd, -; }
voter() { echo "$1@$(controller "$1")"; }
has_image() { docker image inspect "$image" >/dev/null 2>&1 || docker pull -q "$image" >/dev/null 2>&1; }

decide() { # containers or java
  case ${KAFKA_RUN_BY:-} in
    containers | java) echo "$KAFKA_RUN_BY"; return ;;
    ?*) fail "KAFKA_RUN_BY is containers or java, not $KAFKA_RUN_BY" ;;
  esac
  if has_image; then echo containers; else echo java; fi
}

# jars prints where Kafka's jars are, in the cache. Two that fetch at once each fetch into a folder of their own, and the first one stays.
jars() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/neuronx-ci to new
  to=$cache/kafka-$version
  if [ ! -d "$to" ]; then
    java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' || fail "Kafka $version needs Java 17 or newer, or Docker with $image"
    command -v mvn >/dev/null || fail "Kafka's jars come from Maven Central by mvn, which is not installed; or start Docker"
    mkdir -p "$cache"
    new=$(mktemp -d "$cache/fetch-XXXXXX")
    mvn -B -q -Dstyle.color=never -f "$here/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$new" >&2 ||
      { rm -rf "$new"; fail "mvn could not fetch the jars of Kafka $version"; }
    mv -T "$new" "$to" 2>/dev/null || rm -rf "$new"
  fi
  echo "$to"
}

# jvm runs a class of Kafka's in place of this shell, on the machine or in a container that sees the same files, ports and user.
jvm() { # container's name or "", then a JVM's options and class, then its arguments
  local name=$1 log=-Dlog4j2.configurationFile=$here/kafka/log4j2.properties
  shift
  [ "$run_by" = containers ] || exec java "$log" -cp "$jars/*" "$@"
  exec docker run --rm ${name:+--name "$name"} --network host --user "$(id -u):$(id -g)" -v "$dir:$dir" -v "$here:$here:ro" \
    --entrypoint java "$image" "$log" -cp '/opt/kafka/libs/*' "$@"
}
tool() { (jvm '' -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "$@"); }
container() { echo "neuronx-ci-kafka-$port-$1"; }

# pid prints the process of broker N if it runs. A number that another process has got since does not count.
pid() {
  local p
  if [ "$run_by" = containers ]; then
    p=$(docker inspect -f '{{.State.Pid}}' "$(container "$1")" 2>/dev/null) && [ "$p" != 0 ] || return 1
  else
    p=$(cat "$dir/$1/pid" 2>/dev/null) && tr '\0' '\n' 2>/dev/null <"/proc/$p/cmdline" | grep -qxF -- "-Dneuronx.node=$dir/$1" || return 1
  fi
  echo "$p"
}
# ended says whether process P holds nothing any more. One that is killed loses its command line, by which pid knows it, before its sockets.
ended() { # P
  [ ! -e "/proc/$1" ] || { grep -qs '^State:.Z' "/proc/$1/status" && [ "$(ls "/proc/$1/task" 2>/dev/null | wc -l)" -le 1 ]; }
}
gone() { # N P seconds
  local i
  for ((i = 0; i < $3 * 10; i++)); do
    if ! pid "$1" >/dev/null && ended "$2"; then return 0; fi
    sleep 0.1
  done
  return 1
}

properties() { # N
  local replicas=$brokers least=1 of
  [ "$brokers" = 1 ] || least=2
  cat <<P
node.id=$1
process.roles=broker,controller
log.dirs=$dir/$1/data
listeners=PLAINTEXT://$(client "$1"),CONTROLLER://$(controller "$1")
advertised.listeners=PLAINTEXT://$(client "$1")
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=$(each voter)
default.replication.factor=$replicas
min.insync.replicas=$least
offsets.topic.replication.factor=$replicas
group.initial.rebalance.delay.ms=0
num.partitions=3
P
  for of in transaction.state.log share.coordinator.state.topic; do printf '%s.replication.factor=%s\n%s.min.isr=%s\n' $of "$replicas" $of $least; done
  # Fifty partitions each, the default, make every start and stop of a test's broker slower.
  printf '%s.num.partitions=10\n' offsets.topic transaction.state.log share.coordinator.state.topic
  # That a broker is dead is noticed after 6 s, not 9.
  [ "$brokers" = 1 ] || printf 'broker.session.timeout.ms=6000\nbroker.heartbeat.interval.ms=1000\n'
  printf '%s\n' "${KAFKA_EXTRA:-}"
}

launch() { # N
  local at=$dir/$1
  mkdir -p "$at"
  if (exec 3<>"/dev/tcp/${2%:*}/${2#*:}") 2>/dev/null; then fail "$2 is taken by another process"; fi
  properties "$1" >"$at/server.properties"
  # A broker that was killed before its storage was formatted is formatted again.
  tool kafka.tools.StorageTool format --ignore-formatted -t "$cluster_id" -c "$at/server.properties" >"$at/format.log" 2>&1 ||
    { tail -n 20 "$at/format.log" >&2; fail "the storage of broker $1 can't be formatted"; }
  [ "$run_by" != containers ] || docker rm -f "$(container "$1")" >/dev/null 2>&1 || true # one that was killed may not be gone yet
  [ ! -f "$at/kafka.log" ] || mv "$at/kafka.log" "$at/kafka.log.before"
  export -f jvm
  export run_by here jars image dir
  # shellcheck disable=SC2086 # the options of the heap are several words
  nohup setsid bash -c 'jvm "$@"' jvm "$(container "$1")" ${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m} -XX:+ExitOnOutOfMemoryError -Dlevel=INFO "-Dneuronx.node=$at" \
    kafka.Kafka "$at/server.properties" >"$at/kafka.log" 2>&1 </dev/null &
  echo $! >"$at/pid"
}

serves() { # N, once launched
  local i log=$dir/$1/kafka.log
  for ((i = 0; i < 1200; i++)); do
    grep -qs 'Kafka Server started' "$log" && return
    kill -0 "$(cat "$dir/$1/pid")" 2>/dev/null || { tail -n 20 "$log" >&2; fail "broker $1 ended while it started; see $log"; }
    sleep 0.1
  done
  tail -n 20 "$log" >&2
  fail "broker $1 does not serve after 120 s; see $log"
}

start() {
  local n launched=()
  run_by=${run_by:-$(decide)}
  if [ "$run_by" = java ]; then jars=$(jars); else has_image || fail "Docker neither has $image nor can pull it"; fi
  if [ -z "$cluster_id" ]; then
    # 128 bits in base64url, not beginning with a dash: what Kafka itself makes.
    cluster_id=n$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c2-22)
    mkdir -p "$dir"
    printf '%s=%s\n' port "$port" brokers "$brokers" run_by "$run_by" cluster_id "$cluster_id" >"$dir/cluster"
  fi
  for n in $(all); do pid "$n" >/dev/null || { launch "$n" "$(client "$n")"; launched+=("$n"); }; done
  for n in ${launched[@]+"${launched[@]}"}; do serves "$n"; done
  each client
}

stop() {
  local n p
  local -A was
  for n in $(all); do if p=$(pid "$n"); then kill "$p" && was[$n]=$p; fi; done
  # Nodes that stop together lose the quorum that the last of them waits for.
  for n in ${!was[@]}; do gone "$n" "${was[$n]}" 30 || { kill -9 "${was[$n]}" && gone "$n" "${was[$n]}" 30; }; done
  [ -z "$clean" ] || rm -rf "$dir"
}

case $command in
  start) start ;;
  stop) stop ;;
  kill9)
    [ ${#rest[@]} -gt 0 ] || fail "kill9 needs the numbers of brokers"
    for n in "${rest[@]}"; do
      p=$(pid "$n") || fail "broker $n does not run"
      kill -9 "$p"
      gone "$n" "$p" 30 || fail "broker $n (pid $p) is still there 30 s after SIGKILL"
    done ;;
  run-by) decide ;;
  status)
    up=0
    for n in $(all); do if p=$(pid "$n"); then echo "broker $n: up, pid $p, $(client "$n")"; else echo "broker $n: down"; up=1; fi; done
    echo "bootstrap servers: $(each client)"
    exit $up ;;
  groups | topics)
    [ -f "$dir/cluster" ] || fail "$dir has no cluster; start one first"
    class=org.apache.kafka.tools.TopicCommand
    [ "$command" = topics ] || class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand
    [ "$run_by" != java ] || jars=$(jars)
    tool "$class" --bootstrap-server "$(each client)" "${rest[@]}" ;;
  *)
    sed -n 's/^# \{0,1\}//; 2,/^set/p' "${BASH_SOURCE[0]}" | grep -v '^set' >&2
    exit 2 ;;
esac
