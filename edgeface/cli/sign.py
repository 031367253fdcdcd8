"""`edgeface sign` and `edgeface verify-bundle`: who made a bundle, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json


@command
def sign(
    bundle: Annotated[Path | None, typer.Argument(help="The bundle to sign.")] = None,
    key: Annotated[Path | None, typer.Option(help="Your private key.")] = None,
    new_key: Annotated[Path | None, typer.Option(help="Make a key pair here first: FILE and FILE.pub.")] = None,
    quiet: Quiet = False,
) -> None:
    """Sign a bundle with your Ed25519 key, so that devices can tell it from any other.

    The signature covers the manifest, which holds the SHA-256 of every file. A device pins the public key: by the
    environment variable EDGEFACE_TRUST=key.pub, or by the file ~/.config/edgeface/trust.pub. It then opens only
    bundles signed by that key. Needs: pip install 'edgeface[secure]'. Keep the private key off the devices.

    Examples:

        edgeface sign --new-key maker.key

        edgeface sign bundles/door --key maker.key
    """
    from edgeface.errors import UsageError
    from edgeface.signing import create_key, sign_bundle

    if bundle is None and new_key is None:
        raise UsageError("give a bundle to sign with --key, or --new-key FILE to make a key")
    if bundle is not None and (key is None) == (new_key is None):
        raise UsageError("give either --key FILE or --new-key FILE to sign with")
    if new_key is not None:
        public = create_key(new_key)
        note(f"wrote {new_key} (keep it secret) and {public} (pin it on the devices)", quiet=quiet)
    chosen = key or new_key
    if bundle is not None and chosen is not None:
        typer.echo(f"{bundle}: signed by key {sign_bundle(bundle, chosen)}")


@command
def verify_bundle(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    trust: Annotated[Path | None, typer.Option(help="Public key that must have signed it.", metavar="KEY")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check every file's size and SHA-256, and the signature against --trust or the key pinned on this device.

    Exit code 2 when anything is not as it was written; --json prints `ok` and the `error` then, too.

    Examples:

        edgeface verify-bundle bundles/door

        edgeface verify-bundle bundles/door --trust maker.key.pub --json
    """
    from edgeface.bundle import open_bundle
    from edgeface.errors import EdgeFaceError
    from edgeface.signing import pinned_key, signer

    try:
        opened = open_bundle(bundle, trust)
        checked = trust or pinned_key()
        fingerprint = signer(bundle)
    except EdgeFaceError as error:
        if as_json:
            print_json({"bundle": str(bundle), "ok": False, "error": str(error)})
        raise
    state = "trusted" if checked is not None else "not signed" if fingerprint is None else "signed, not checked"
    if as_json:
        files = {name: entry["sha256"] for name, entry in opened.files.items()}
        print_json({"bundle": str(bundle), "ok": True, "files": files, "signature": state, "key": fingerprint})
        return
    print(f"{bundle}: {len(opened.files)} files as written; model SHA-256 {opened.model_sha256}")
    if fingerprint is None:
        print("not signed")
    elif checked is not None:
        print(f"signed by the trusted key {fingerprint}")
    else:
        print(f"signed by key {fingerprint}, not checked")
        note("give the maker's public key with --trust, or pin it: EDGEFACE_TRUST=key.pub", quiet=quiet)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(sign)
    app.command("verify-bundle")(verify_bundle)
