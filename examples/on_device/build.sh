#!/usr/bin/env bash
# Fetches MindSpore Lite 2.0.0 from the package index and builds convert and run into FOLDER.
# The wheel is made for CPython 3.7, but what is used of it is its C++ library, which needs no Python.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: bash build.sh FOLDER}
python=${PYTHON:-python3}
compiler=${CXX:-g++}
command -v "$compiler" >/dev/null || { echo "error: there is no C++ compiler ($compiler); install g++, or set CXX" >&2; exit 3; }
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "error: the wheel of MindSpore Lite 2.0.0 is for Linux on x86_64" >&2; exit 3; }
mkdir -p "$folder"
cd "$folder"
if [ ! -d mindspore_lite ]; then
    rm -rf unpacking
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.7 --platform manylinux1_x86_64 \
        --dest unpacking mindspore-lite==2.0.0 || { echo "error: mindspore-lite 2.0.0 cannot be fetched" >&2; exit 3; }
    "$python" -m zipfile -e unpacking/mindspore_lite-2.0.0-*.whl unpacking
    mv unpacking/mindspore_lite mindspore_lite
    rm -rf unpacking
fi
lite=$PWD/mindspore_lite
flags=(-O2 -std=c++17 -D_GLIBCXX_USE_CXX11_ABI=0 "-I$lite" "-L$lite/lib" -Wl,--disable-new-dtags "-Wl,-rpath,$lite/lib" -Wl,--allow-shlib-undefined)
libraries=(-lmindspore-extendrt_python -l:libmindspore_core.so -l:libmindspore_glog.so.0)
"$compiler" "${flags[@]}" "$here/convert.cc" -o convert -lmindspore_converter "${libraries[@]}"
"$compiler" "${flags[@]}" "$here/run.cc" -o run "${libraries[@]}"
echo "built $PWD/convert and $PWD/run"
