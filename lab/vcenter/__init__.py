"""Decides what the rest of the lab sees of its vCenter: an application, and certificates to serve it with."""

from lab.vcenter.certificates import make_certificates
from lab.vcenter.web import create_app

__all__ = ["create_app", "make_certificates"]
