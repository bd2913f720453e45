"""What `monailabel start_server --app coseg_bundle/label_app` loads."""

from coseg_bundle.label_app.app import CoSegApp

__all__ = ["CoSegApp"]
