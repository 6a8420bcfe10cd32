"""The user study of the paper (section 4.2, appendix C): a page for raters and the analysis of their answers."""

from .analysis import Analysis, Rules, analyse
from .cli import add_study
from .design import Study, read_key
from .make import StudyOptions, make_study

__all__ = ["Analysis", "Rules", "Study", "StudyOptions", "add_study", "analyse", "make_study", "read_key"]
