"""Scores for any number of images: read, scored and written some at a time, all three at once."""

import heapq
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.images.inputs import ImageInput, Problems
from vae_anomaly_cli.images.learning import LearnedImages, image_refusals
from vae_anomaly_cli.images.maps import Pages, Shown, explained_images
from vae_anomaly_cli.images.results import Folders, ScoredFile, as_batch
from vae_anomaly_cli.overlap import overlapped
from vae_anomaly_cli.progress import image_progress
from vae_anomaly_cli.sinks import Sink

if TYPE_CHECKING:
    from vae_anomaly.data import ImageFileError, ImageFiles, Images

PIXELS_AT_ONCE = 1 << 20
MIN_AT_ONCE, MAX_AT_ONCE = 4, 1024


@dataclass(frozen=True)
class Portion:
    """Some files of the input, in its order.

    Attributes
    ----------
    files : list of ScoredFile
        All of them, not yet scored.
    usable : list of int
        Which of them could be read.
    images : Images
        The pixels of these.
    """

    files: list[ScoredFile]
    usable: list[int]
    images: "Images"


@dataclass(frozen=True)
class ScoredPortion:
    """Some files of the input, scored; with what is drawn of them, if pages are wanted."""

    files: list[ScoredFile]
    shown: list[tuple[int, Shown]]


class ImageStream:
    """A detector at work on images, and what is left of it in the end.

    Parameters
    ----------
    source : ImageInput
        The images.
    learned : LearnedImages
        Who scores them.
    folders : Folders
        Hears of the scores.
    problems : Problems
        Hears of files that cannot be used.
    messages : Messages
        Says whether somebody looks.

    Attributes
    ----------
    n_scored, n_anomalies : int
        Images so far.
    """

    def __init__(
        self,
        source: ImageInput,
        learned: LearnedImages,
        folders: Folders,
        problems: Problems,
        messages: Messages,
    ) -> None:
        self.source, self.learned, self.folders = source, learned, folders
        self.problems, self.messages = problems, messages
        self.n_scored = self.n_anomalies = 0
        self._top: list[tuple[tuple[float, int], ScoredFile]] = []

    @property
    def top(self) -> list[ScoredFile]:
        """The most anomalous images, the most anomalous first."""
        return [file for _, file in sorted(self._top, reverse=True)]

    def run(self, sink: Sink, pages: Pages | None, *, n_top: int, aside: bool) -> None:
        """Score all images.

        Parameters
        ----------
        sink : Sink
            Where the table goes.
        pages : Pages or None
            Where a page for each image goes.
        n_top : int
            How many of the most anomalous to remember.
        aside : bool
            Whether they are written by a thread of its own.
        """
        stopped = threading.Event()
        with (
            image_refusals(self.source.name),
            self.messages.library_warnings(),
            image_progress(len(self.source), "scoring", self.messages) as done,
        ):

            def work(portion: Portion) -> ScoredPortion:
                scored = self._score(portion, explained=pages is not None)
                self._see(scored.files, n_top)
                done(len(scored.files))
                return scored

            def write(scored: ScoredPortion) -> None:
                if pages is not None:
                    scale = self.learned.detector.map_scale_
                    for place, shown in scored.shown:
                        if stopped.is_set():
                            return
                        pages.write(place, shown, scale, self.learned.threshold)
                sink.write(0, as_batch(scored.files))

            overlapped(self._read(range(len(self.source))), work, write, aside=aside, stopped=stopped)

    def explained(self, files: list[ScoredFile]) -> Generator[tuple[ScoredFile, Shown], None, None]:
        """Read files again and say where they are anomalous; those that cannot be read any more are left out."""
        with (
            image_refusals(self.source.name),
            self.messages.library_warnings(),
            image_progress(len(files), "drawing", self.messages) as done,
        ):
            per_cell = {file.place: file for file in files}
            for portion in self._read([file.place for file in files]):
                if portion.usable:
                    shown = explained_images(self.learned.detector, portion.images)
                    for number, each in zip(portion.usable, shown, strict=True):
                        yield per_cell[portion.files[number].place], each
                done(len(portion.files))

    def _read(self, places: Sequence[int]) -> Generator[Portion, None, None]:
        from vae_anomaly.data import ImageFiles

        wanted = self.learned.image_format
        each = prod((wanted.channels, wanted.height, wanted.width))
        at_once = min(max(PIXELS_AT_ONCE // each, MIN_AT_ONCE), MAX_AT_ONCE)
        # A power of two, as the chunks of the model are.
        at_once = 1 << (at_once.bit_length() - 1)
        for start in range(0, len(places), at_once):
            part = places[start : start + at_once]
            yield from self._portions(part, ImageFiles(tuple(self.source.paths[place] for place in part), wanted))

    def _portions(self, places: Sequence[int], opened: "ImageFiles") -> Iterator[Portion]:
        """Read files; their pixels come with the others' problems, which have to be put back in between."""
        start = 0
        for paths, images, problems in opened.chunks():
            here = range(start, start + len(paths) + len(problems))
            start = here.stop
            reasons: dict[object, ImageFileError] = {problem.path: problem for problem in problems}
            files = []
            for number in here:
                path = opened.paths[number]
                file = ScoredFile(places[number], self.source.shown(path), self.source.folder(path))
                problem = reasons.get(path)
                files.append(file if problem is None else replace(file, problem=problem.reason))
            usable = [number for number, file in enumerate(files) if file.problem is None]
            yield Portion(files, usable, images)

    def _score(self, portion: Portion, *, explained: bool) -> ScoredPortion:
        if not portion.usable:
            return ScoredPortion(portion.files, [])
        detector = self.learned.detector
        drawn = list(explained_images(detector, portion.images)) if explained else []
        scores = [each.score for each in drawn] or detector.anomaly_score(portion.images).tolist()
        files = list(portion.files)
        for number, score in zip(portion.usable, scores, strict=True):
            files[number] = replace(files[number], score=score, flag=score > self.learned.threshold)
        places = [files[number].place for number in portion.usable]
        return ScoredPortion(files, list(zip(places, drawn, strict=True)) if explained else [])

    def _see(self, files: list[ScoredFile], n_top: int) -> None:
        self.folders.see(files)
        for file in files:
            if file.problem is not None:
                self.problems.see(f"{self.source.paths[file.place]}: {file.problem}")
                continue
            self.n_scored += 1
            self.n_anomalies += bool(file.flag)
            if n_top:
                item = (file.cell_scores, file)
                if len(self._top) < n_top:
                    heapq.heappush(self._top, item)
                else:
                    heapq.heappushpop(self._top, item)
