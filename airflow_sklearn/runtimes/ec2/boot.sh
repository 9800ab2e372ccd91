# What an instance does from its first boot to its end. Before this come the values that it uses: see user_data.py.

say() { echo "airflow-sklearn: $*"; }

finish() {
  local code=$?
  say "the instance ends (exit code $code)"
  sync
  shutdown -h now
}
trap finish EXIT

# Whatever becomes of the rest: the instance does not outlive this. With EC2's shutdown behaviour "terminate", it is gone.
[ -z "$lifetime_minutes" ] || shutdown -h "+$lifetime_minutes"
export HOME=${HOME:-/root}

# Arguments: the package's name for dnf and yum, and for apt. Again, because other programs of a first boot may hold the
# package manager's locks, and mirrors have their moments.
install_package() {
  local pause
  for pause in 10 30 0; do
    say "installing $1"
    if command -v dnf >/dev/null; then
      dnf install -y -q "$1" && return
    elif command -v yum >/dev/null; then
      yum install -y -q "$1" && return
    else
      apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq "$2" && return
    fi
    sleep $pause
  done
  return 1
}

start_docker() {
  command -v docker >/dev/null || install_package docker docker.io || { say "cannot install Docker"; exit 70; }
  docker version >/dev/null 2>&1 || systemctl start docker
  for _ in $(seq 60); do
    docker version >/dev/null 2>&1 && return
    sleep 1
  done
  say "Docker does not run: $(docker version 2>&1 | tail -n 1)"
  exit 70
}

# Into Amazon ECR, with the rights of the instance profile.
log_in() {
  [ -n "$registry" ] || return 0
  if command -v aws >/dev/null; then
    aws ecr get-login-password --region "$registry_region" | docker login --username AWS --password-stdin "$registry"
    return
  fi
  command -v docker-credential-ecr-login >/dev/null ||
    install_package amazon-ecr-credential-helper amazon-ecr-credential-helper || return
  mkdir -p "$HOME/.docker" && echo "{\"credHelpers\": {\"$registry\": \"ecr-login\"}}" >"$HOME/.docker/config.json"
}

pull() {
  local error pause
  docker image inspect "$image" >/dev/null 2>&1 && return # an AMI with the image in it starts sooner
  for pause in 5 15 0; do
    error=$( (set -o pipefail; log_in && docker pull --quiet "$image") 2>&1) && return
    sleep $pause
  done
  say "cannot pull $image: $(echo "$error" | tail -n 3 | tr '\n' ' ')"
  exit 70
}

start_docker
pull

# The container has the memory that the machine itself does not need, so that a job that takes too much ends alone.
memory=$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo)
reserve=$((memory / 10 < 512 ? memory / 10 : 512))
say "starting $image"
# The host's network: so the container reaches the instance's metadata service, which is one hop away and no further.
docker run --rm --init --network host --memory "$((memory - reserve))m" --stop-timeout 90 --entrypoint python \
  "${variables[@]}" "$image" -m airflow_sklearn.worker.host "${arguments[@]}"
code=$?
[ "$code" = 0 ] || say "the container ended with exit code $code"
exit "$code"
