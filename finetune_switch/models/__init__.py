from .backend import ChatBackend, SystemPrompt
from .comparison import Column, Comparison
from .evaluation import Question, QuestionSet
from .exchange import Exchange, Origin, Outcome
from .feedback import Feedback
from .index import (
    Chunk,
    Document,
    EmbeddingSpace,
    Exclusion,
    IndexBuild,
    PendingUpdate,
    RemovedChunk,
)
from .judgement import Grade, Preference, Reveal
from .prepared import PreparedAnswer
from .run import Contender, Run, RunItem, RunQuestion
from .switch import Switch
