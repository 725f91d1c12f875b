"""An expert that is loaded when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any


def stand_in(kind: type, name: str) -> type:
    """Class for an object in place of an expert, with the name of the expert's class.

    It is what messages call an expert by, and must not depend on whether the expert can be loaded.
    """
    return type(name if name.isidentifier() else kind.__name__, (kind,), {})


class LazyExpert:
    """Stands in for an expert of a bundle and loads it at the first use of an attribute.

    It says that it is of the class of the expert, and a copy or a pickle of it is one of the
    expert: nothing outside of this process depends on the file.

    Parameters
    ----------
    title : str
        Name and type, for the representation before loading.
    loader : callable
        Returns the expert. It is called once if it succeeds, and again at the next use if it
        raises.
    """

    def __init__(self, title: str, loader: Callable[[], Any]) -> None:
        self.__dict__.update(_title=title, _loader=loader, _lock=threading.RLock())

    def __lazy_expert__(self) -> Any:
        """Return the expert itself; threads that need it at the same time load it once."""
        if self._loader is not None:
            with self._lock:
                if self._loader is not None:
                    self.__dict__["_expert"] = self._loader()
                    # Last, since it is what other threads look at; frees the file, too.
                    self.__dict__["_loader"] = None
        return self._expert

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__lazy_expert__(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__lazy_expert__(), name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # noqa: D105
        return type(self.__lazy_expert__())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__lazy_expert__().__reduce_ex__(protocol)

    def __dir__(self) -> Any:
        return dir(self.__lazy_expert__())

    def __len__(self) -> int:
        return len(self.__lazy_expert__())

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, item: Any) -> Any:
        return self.__lazy_expert__()[item]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__lazy_expert__())

    def __repr__(self) -> str:
        return f"<{self._title}, not loaded>" if self._loader else repr(self._expert)
