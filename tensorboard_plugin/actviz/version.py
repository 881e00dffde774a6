"""The version of both distributions, in one place."""

VERSION = "0.1.0"
