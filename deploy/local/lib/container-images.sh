# shellcheck shell=bash
# Where image archives are, and how a node takes one in. Sourced after settings.sh.

# image_archive IMAGE: kudu-pair/kudu:1.18.1 is kept in .../images/kudu-1.18.1.tar
image_archive() {
  local file=${1##*/}
  printf '%s/%s.tar\n' "$IMAGE_DIR" "${file/:/-}"
}

# import_archive NODE_DIR FILE CTR...: import an image archive (as `docker save`
# writes it) into the containerd that CTR talks to, unless what its tags name there
# is already just this. The node's folder keeps the notes, since they have to be
# lost whenever its image store is.
import_archive() {
  local notes=$1/imported archive=$2 manifest digest tag stale=no
  shift 2
  manifest=$(tar -xOf "$archive" --occurrence=1 manifest.json) || die "not an image archive: $archive"
  digest=$(sha256sum <<<"$manifest" | cut -d' ' -f1)
  mkdir -p "$notes"
  local tags=()
  while read -r tag; do
    tags+=("$tag")
    [[ -e $notes/${tag//\//_} && $(<"$notes/${tag//\//_}") == "$digest" ]] || stale=yes
  done < <(grep -oE '"RepoTags": *\[[^]]*\]' <<<"$manifest" | grep -oE '"[^"]+:[^"]+"' | tr -d '"')
  [[ ${#tags[@]} -gt 0 ]] || die "no tag in image archive: $archive"
  [[ $stale == yes ]] || return 0
  "$@" --namespace k8s.io images import - <"$archive" >/dev/null
  for tag in "${tags[@]}"; do
    printf '%s\n' "$digest" >"$notes/${tag//\//_}"
  done
}
