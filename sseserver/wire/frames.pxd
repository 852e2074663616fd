# The functions of frames.py, for the modules that are compiled: `from sseserver.wire cimport frames`.
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.string cimport memchr, memcmp, memcpy


cdef inline bytes encodeText(object text):
    return PyUnicode_AsUTF8String(text)


cdef inline bint hasLineEnd(bytes text) except -1:
    cdef char* start = PyBytes_AS_STRING(text)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    return memchr(start, 10, size) != NULL or memchr(start, 13, size) != NULL


cdef inline bint isPlain(bytes text) except -1:
    cdef const unsigned char* place = <const unsigned char*> PyBytes_AS_STRING(text)
    cdef const unsigned char* end = place + PyBytes_GET_SIZE(text)
    cdef bint found = True
    while place < end:
        # Without a branch, so that many bytes are looked at together.
        found &= (place[0] >= 32) & (place[0] < 127) & (place[0] != 34) & (place[0] != 92)
        place += 1
    return found


# Writes the digits of a number before `end`, and returns the place of the first one.
@cython.cdivision(True)
cdef inline char* _writeDigits(char* end, size_t number, size_t base) noexcept:
    cdef size_t digit
    while True:
        digit = number % base
        number = number // base
        end -= 1
        end[0] = <char> (48 + digit if digit < 10 else 87 + digit)
        if not number:
            return end


cdef inline bytes writeTextEvent(bytes epoch, Py_ssize_t number, bytes text):
    cdef char digits[24]
    cdef char* first = _writeDigits(digits + 24, number, 10)
    cdef Py_ssize_t count = digits + 24 - first
    cdef Py_ssize_t idSize = PyBytes_GET_SIZE(epoch)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    cdef bytes event = PyBytes_FromStringAndSize(NULL, idSize + count + size + 14)
    cdef char* place = PyBytes_AS_STRING(event)
    memcpy(place, b"id: ", 4)
    place += 4
    memcpy(place, PyBytes_AS_STRING(epoch), idSize)
    place += idSize
    place[0] = b"-"
    place += 1
    memcpy(place, first, count)
    place += count
    memcpy(place, b"\ndata: ", 7)
    place += 7
    memcpy(place, PyBytes_AS_STRING(text), size)
    place += size
    memcpy(place, b"\n\n", 2)
    return event


cdef inline bytes writeNumbered(bytes before, Py_ssize_t number, bytes between, bytes text, bytes behind):
    cdef char digits[24]
    cdef char* first = _writeDigits(digits + 24, number, 10)
    cdef Py_ssize_t count = digits + 24 - first
    cdef Py_ssize_t beforeSize = PyBytes_GET_SIZE(before)
    cdef Py_ssize_t betweenSize = PyBytes_GET_SIZE(between)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    cdef Py_ssize_t behindSize = PyBytes_GET_SIZE(behind)
    cdef bytes event = PyBytes_FromStringAndSize(NULL, beforeSize + count + betweenSize + size + behindSize)
    cdef char* place = PyBytes_AS_STRING(event)
    memcpy(place, PyBytes_AS_STRING(before), beforeSize)
    place += beforeSize
    memcpy(place, first, count)
    place += count
    memcpy(place, PyBytes_AS_STRING(between), betweenSize)
    place += betweenSize
    memcpy(place, PyBytes_AS_STRING(text), size)
    place += size
    memcpy(place, PyBytes_AS_STRING(behind), behindSize)
    return event


cdef inline list writeAllNumbered(bytes before, Py_ssize_t number, bytes between, list texts, bytes behind):
    cdef list events = []
    cdef bytes text
    for text in texts:
        events.append(writeNumbered(before, number, between, text, behind))
        number += 1
    return events


@cython.boundscheck(False)
@cython.wraparound(False)
cdef inline list findFramed(bytes data, list bounds, bytes before, bytes behind):
    cdef list texts = []
    cdef const char* place = PyBytes_AS_STRING(data)
    cdef Py_ssize_t beforeSize = PyBytes_GET_SIZE(before)
    cdef Py_ssize_t behindSize = PyBytes_GET_SIZE(behind)
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t index, end, size
    cdef const char* text
    for index in range(1, len(bounds)):
        end = bounds[index]
        # Size of both texts; below, size of one.
        size = end - start - beforeSize - behindSize
        if size <= 0 or size & 1 or end > PyBytes_GET_SIZE(data) or memcmp(place + start, PyBytes_AS_STRING(before), beforeSize):
            break
        size >>= 1
        text = place + start + beforeSize
        if memcmp(text + size, PyBytes_AS_STRING(behind), behindSize) or memcmp(text, place + end - size, size):
            break
        texts.append(PyBytes_FromStringAndSize(text, size))
        start = end
    return texts


cdef inline bytes writeChunk(bytes data):
    cdef char digits[24]
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef char* first = _writeDigits(digits + 24, size, 16)
    cdef Py_ssize_t count = digits + 24 - first
    cdef bytes chunk = PyBytes_FromStringAndSize(NULL, count + size + 4)
    cdef char* place = PyBytes_AS_STRING(chunk)
    memcpy(place, first, count)
    place += count
    memcpy(place, b"\r\n", 2)
    place += 2
    memcpy(place, PyBytes_AS_STRING(data), size)
    place += size
    memcpy(place, b"\r\n", 2)
    return chunk
