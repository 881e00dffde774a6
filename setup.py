"""Packaging. The version is in tensorboard_plugin/actviz/version.py, the pins in constraints.txt."""

import re
from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).parent
VERSION = re.search(r'VERSION = "(.+)"', (HERE / "tensorboard_plugin/actviz/version.py").read_text(encoding="utf-8"))[1]

TORCH = ["torch>=2.4"]
DEMO = ["scikit-learn>=1.3"]
TEST = [
    *TORCH,
    *DEMO,
    "boto3",
    "flask",
    "flask-cors",
    "fsspec",
    "hypothesis",
    "moto",
    "pandas",
    "playwright",
    "pytest",
    "pytest-timeout",
    "setuptools",
    "tensorboardX",
    'triton; platform_system == "Linux" and platform_machine == "x86_64"',  # for its interpreter, which needs no GPU
    "websockets",
    "xarray",
]
FUZZ = [*TEST, "atheris"]
CHECK = ["mypy", "ruff"]
# Loaded with ctypes, see actviz_tb/native.py. Where no compiler is, the package installs without it and is slower.
NATIVE = Extension(
    "actviz_tb._native",
    ["actviz_tb/native.c"],
    extra_compile_args=["-O3", "-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros", "-ffinite-math-only"],
    optional=True,
)

setup(
    name="actviz-tb",
    version=VERSION,
    description="Watch what happens inside a PyTorch network while it trains: activations in TensorBoard, from one call",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    # Listed by hand: a search would find node_modules. tensorboard_plugin is a namespace package, without __init__.py.
    packages=["actviz_tb", "tensorboard_plugin.actviz", "tensorboard_plugin.actviz.health"],
    ext_modules=[NATIVE],
    package_data={
        "actviz_tb": ["py.typed"],
        "tensorboard_plugin.actviz": ["py.typed", "http_api.md", "static/*"],
    },
    # Enough to view logs; what logs them also needs torch.
    install_requires=[
        "tensorboard>=2.15",
        "numpy>=1.24",
        "threadpoolctl>=3.1",
        "pillow>=10.1",
        "protobuf>=4.25",
        "google-crc32c>=1.5",
        'isal>=1.5; platform_machine in "x86_64 AMD64 aarch64 arm64"',  # else zlib, slower
    ],
    extras_require={"torch": TORCH, "demo": [*TORCH, *DEMO], "test": TEST, "fuzz": FUZZ, "dev": [*TEST, *CHECK]},
    entry_points={"tensorboard_plugins": ["actviz = tensorboard_plugin.actviz.plugin:ActvizLoader"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Visualization",
        "Typing :: Typed",
    ],
)
