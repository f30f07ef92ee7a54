"""Model files: safetensors and JSON under one SHA-256; data, never code."""

from chainrule.files.model import Model, load, save

__all__ = ["Model", "load", "save"]
