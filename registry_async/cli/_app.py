"""The root of the command line, and what becomes of the errors of a command."""

import sys
from collections.abc import Sequence
from typing import Final

import click

from registry_async._version import __version__
from registry_async.cli._ending import (
    DONE,
    FAILED,
    INTERRUPTED,
    USAGE,
    CommandError,
    advice,
    complain,
)
from registry_async.cli._framework import LazyGroup
from registry_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ContainerRegistryError,
    RetentionRefusedError,
)

__all__ = ["app", "run"]

_NAME: Final = "registry-async"

_EPILOG: Final = """\
\b
Exit codes:
  0   done
  1   failed, or nothing at all could be read
  2   wrong usage, or credentials that are missing or refused
  3   partly done; standard error says what is missing
  4   refused by the limits of a policy, nothing deleted
  5   something unexpected was deleted
  10  the plan is not empty (with --detailed-exitcode)
  130 interrupted

Credentials come from the environment: REGISTRY_TOKEN, or the OS_… variables of OpenStack.
"""

app: Final = LazyGroup(
    {
        "registries": ("_registries", "registries", "List, make, delete and collect registries."),
        "repositories": ("_repositories", "repositories", "List and delete repositories."),
        "images": ("_images", "images", "List and delete images."),
        "tokens": ("_tokens", "tokens", "Make and end the tokens that Docker logs in with."),
        "projects": ("_projects", "projects", "List the projects of an account."),
        "login": ("_login", "login", "Log Docker in, or write a pull secret for Kubernetes."),
        "scan": ("_scan", "scan", "Read every image of every registry into totals."),
        "report": ("_report", "report", "Show and compare what scans have written."),
        "retention": (
            "_retention_runs",
            "retention",
            "Delete what nobody needs, and nothing else.",
        ),
        "request": ("_request", "request", "Send a request that no command covers."),
        "sandbox": ("_sandbox", "sandbox", "Serve an embedded registry service until Ctrl-C."),
        "completion": ("_completion", "completion", "Print what completes commands in a shell."),
    },
    name=_NAME,
    help="Manage container registries.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
click.version_option(__version__, prog_name=_NAME, message="%(prog)s %(version)s")(app)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Raises:
        SystemExit: The arguments cannot be understood; the exit code is 2.
    """
    given = None if arguments is None else list(arguments)
    try:
        code = app.main(given, prog_name=_NAME, standalone_mode=False)
    except click.UsageError as error:
        error.show()
        raise SystemExit(USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        return complain("interrupted", INTERRUPTED)
    except CommandError as error:
        return complain(str(error), error.code)
    except RetentionRefusedError as error:
        return complain(str(error), 4)
    except (ConfigurationError, AuthenticationError) as error:
        return complain(f"{error}{advice(error)}", USAGE)
    except (ContainerRegistryError, OSError) as error:
        return complain(f"{error}{advice(error)}", FAILED)
    return code if isinstance(code, int) else DONE


if __name__ == "__main__":
    sys.exit(run())
