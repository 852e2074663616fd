from sseserver.formats.openai cimport OpenAIRendering
from sseserver.protocols.chatcompletions.textframe cimport TextFrame


cdef class _CompletionsRendering(OpenAIRendering):
    cdef bytes _begin
    cdef object _converter
    cdef bytes _end
    cdef TextFrame _frame
