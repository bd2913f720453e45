#!/usr/bin/env bash
# geopandas.read_file of a Parquet file: what is missing is called by another name.
#
# Expected: pyogrio's wheel has GDAL without its Parquet driver, so a .parquet is "not recognized as being in a supported
# file format", as other files of unknown formats are.
# Seen (pyogrio 0.13.0 with GDAL 3.12.4, geopandas 1.2.0, pyarrow 26.0.1, CPython 3.11): "libduckdb.so: cannot open shared
# object file". GDAL's ADBC driver, which is in the wheel, takes Parquet files for its own and looks for DuckDB's library;
# the driver list that pyogrio gives does not name it among those that read Parquet. geopandas.read_parquet reads the file.
# What follows: a page that says how a Parquet file is opened says read_parquet, and not read_file.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "pyogrio==0.13.0" "geopandas==1.2.0" "pyarrow==26.0.1" "shapely==2.2.0" "numpy==2.4.6" "pandas==3.1.1"
cat > try.py <<'PY'
import geopandas
import pyogrio
import shapely

print("pyogrio", pyogrio.__version__, "GDAL", ".".join(map(str, pyogrio.__gdal_version__)), "geopandas", geopandas.__version__)
geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 1, 1)]).to_parquet("a.parquet")
with open("a.unknown", "wb") as file:
    file.write(b"of no known format")


def said(path):
    try:
        geopandas.read_file(path)
    except Exception as error:
        return str(error).splitlines()[0]
    return "read"


unknown, parquet, right = said("a.unknown"), said("a.parquet"), len(geopandas.read_parquet("a.parquet"))
print("unknown format:", unknown)
print("Parquet:", parquet)
print("read_parquet:", right, "row")
print("a Parquet driver:", "Parquet" in pyogrio.list_drivers())
ok = "not recognized" in unknown and "libduckdb" in parquet and right == 1 and "Parquet" not in pyogrio.list_drivers()
raise SystemExit(0 if ok else 1)
PY
env/bin/python try.py
