"""`headrace serve` and `headrace check-config`: every setting is an option of both."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.command import Leaf, command
from headrace.cli.errors import ExitCode, Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.settings import Loaded, Sources


class SettingsLeaf(Leaf):
    """A command whose options are the settings, listed by group. They are read when the command is called."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The options of the command, then one for each setting."""
        return [*super().get_params(ctx), *_setting_options()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the command's own options, then the settings of each group under its name."""
        own = [option.get_help_record(ctx) for option in super().get_params(ctx)]
        with formatter.section("Options"):
            formatter.write_dl([record for record in own if record])
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in _setting_options():
            record = option.get_help_record(ctx)
            if record:
                groups.setdefault(option.group, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


class SettingOption(click.Option):
    """An option that is a setting of the proxy."""

    group = "Settings"


def _setting_options() -> list[SettingOption]:
    from headrace.settings import documented

    options = []
    for doc in documented():
        shown = f" [default: {doc.default}]" if doc.default else ""
        values = "|".join(("true", "false") if doc.kind == "switch" else doc.values)
        option = _option(doc.name, values or doc.kind.upper(), doc.summary.replace("`", "") + shown, doc.group)
        options.append(option)
        if doc.file_option:
            options.append(_option(doc.file_option, "FILE", f"The file that holds {doc.name}.", doc.group))
    return options


def _option(name: str, metavar: str, text: str, group: str) -> SettingOption:
    option = SettingOption([f"--{name.replace('_', '-')}", name], metavar=metavar, help=text)
    option.group = group
    return option


def _settings_command(summary: str, example: str, name: str) -> Callable[[Callable[..., Any]], click.Command]:
    def decorated(function: Callable[..., Any]) -> click.Command:
        leaf = command(summary, example=example, name=name)(function)
        own = SettingsLeaf(name, callback=leaf.callback, params=leaf.params, help=leaf.help, short_help=leaf.short_help)
        own.example, own.exits = leaf.example, leaf.exits
        return own

    return decorated


def _load(config: str | None, given: dict[str, Any]) -> tuple[Loaded, Sources]:
    """The settings in force, and where they come from. Raises Failure for wrong ones."""
    from pathlib import Path

    from headrace.http1 import tls
    from headrace.settings import Sources
    from headrace_pipelines.errors import InvalidError

    sources = Sources(Path(config) if config else None, os.environ, given)
    try:
        loaded = sources.load()
        try:
            tls.check(loaded.settings)
        except InvalidError as error:
            raise loaded.blamed(error) from None
    except InvalidError as error:
        reason = error.reason.removeprefix(f"[{error.field}] ")
        raise Failure(reason, error.field, "`headrace serve --help` lists the settings", ExitCode.USAGE) from None
    return loaded, sources


HEALTH_SECONDS = 5.0
"""Seconds for the answer of a proxy that is asked whether it is alive."""
CONFIG = click.option("--config", metavar="FILE", help="A TOML file with settings.")


@_settings_command(
    "Run the proxy.",
    "headrace serve --upstream http://127.0.0.1:9201 --listen 127.0.0.1:9200\nheadrace serve --config headrace.toml",
    "serve",
)
@CONFIG
def serve(config: str | None, **given: Any) -> int:
    """Every setting is an option, a key of the TOML file, and a variable `HEADRACE_NAME`.

    An option beats a variable, and a variable beats the file.
    """
    loaded, sources = _load(config, given)
    from headrace.cli import process

    try:
        return process.run(loaded, sources, click.get_current_context().find_root().obj["arguments"])
    except OSError as error:
        if error.filename:
            raise
        # asyncio says the address in its text.
        hint = "`listen`, `metrics_listen` and `ui_listen` are the addresses of the proxy"
        raise Failure(f"cannot listen on {loaded.settings.listen}: {error.strerror}", hint=hint) from None


@_settings_command(
    "Check and print the settings in force.", "headrace check-config --config headrace.toml", "check-config"
)
@CONFIG
def check_config(config: str | None, **given: Any) -> None:
    """Prints the settings as JSON, without secrets."""
    from headrace.cli.output import emit_data

    loaded, _ = _load(config, given)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    emit_data(loaded.settings.shown(), "json")


@_settings_command(
    "Ask the proxy of this host whether it is alive.", "headrace health --config headrace.toml", "health"
)
@CONFIG
def health(config: str | None, **given: Any) -> None:
    """For health checks of containers: it finds the listener by the settings. The exit status is 5 without an answer.

    Where clients need a certificate it asks at metrics_listen.
    """
    import http.client
    import ssl

    settings = _load(config, given)[0].settings
    by_metrics = bool(settings.tls_client_ca and settings.metrics_listen)
    host, port = settings.address("metrics_listen" if by_metrics else "listen")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it connects, and does not listen
    connection: http.client.HTTPConnection
    if settings.tls_cert and not by_metrics:
        # The certificate is for the name by which clients call, which is not that of this address.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=HEALTH_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=HEALTH_SECONDS)
    try:
        connection.request("GET", "/_proxy/health/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"{host}:{port} does not answer: {error}", code=ExitCode.UNREACHABLE) from None
    if status != http.client.OK:
        raise Failure(f"{host}:{port} answers {status}", code=ExitCode.UNREACHABLE)
    click.echo("alive")
