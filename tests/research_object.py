"""The validator of research objects, without a network."""

from pathlib import Path

import requests
import rocrate

# The validator asks the web for the context of RO-Crate 1.1. The library that writes research objects brings that of a
# later version, which holds every term of 1.1 that nenflow uses.
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
BROUGHT = Path(rocrate.__file__).parent / "data/ro-crate.jsonld"


def faults(folder, profile, monkeypatch):
    """What the validator finds in a research object that its profile demands."""
    from rocrate_validator import models, services

    def send(self, request, **options):
        answer = requests.Response()
        answer.request, answer.url = request, request.url
        answer.status_code = 200 if request.url == CONTEXT else 404
        answer._content = BROUGHT.read_bytes() if request.url == CONTEXT else b""
        answer.headers["Content-Type"] = "application/ld+json"
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier=profile,
        requirement_severity=models.Severity.REQUIRED,
        no_cache=True,
    )
    return [issue.message for issue in services.validate(settings).get_issues()]
