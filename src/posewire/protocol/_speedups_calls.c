/* `Chain.encode` and `Chain.decode`: between Python's objects and the codec's.

   The GIL is held throughout. A frame is never changed but for what is worked out of it once (means, the fit of affine
   motion), and is used with the chain that made it only: a stranger's bytes never choose how long a row is. */

#include "_speedups.h"
#include <math.h>

/* The frame that is referred to; None is NULL. 0 when it is no frame of this chain. */
static int frame_of(Chain *self, State *state, PyObject *object, Frame **frame)
{
    *frame = object == Py_None ? NULL : (Frame *)object;
    if (*frame != NULL && (!Py_IS_TYPE(object, state->frame) || (*frame)->chain != self)) {
        PyErr_SetString(PyExc_TypeError, "a frame of this chain or None expected");
        return 0;
    }
    return 1;
}

static int takes(const char *method, Py_ssize_t count, Py_ssize_t expected)
{
    if (count != expected)
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments (%zd given)", method, expected, count);
    return count == expected;
}

/* Chain.encode --------------------------------------------------------------------------------------------------- */

/* Take hold of an array of float32, [count, 4], for hands [2, count, 4]; 0 if it has another number of landmarks, -1 if
   it is something else. */
static int take_array(PyObject *array, Py_ssize_t parts, Py_ssize_t count, Py_buffer *view, Landmarks *landmarks)
{
    const char *format;
    int last;
    if (PyObject_GetBuffer(array, view, PyBUF_RECORDS_RO) < 0)
        return -1;
    last = view->ndim - 1;
    format = view->format != NULL ? view->format : "";
    format += *format == '=' || *format == '@' || *format == (PY_LITTLE_ENDIAN ? '<' : '>');
    if (strcmp(format, "f") || view->itemsize != 4 || view->ndim != (parts == 2 ? 3 : 2) || view->shape[last] != 4
        || (parts == 2 && view->shape[0] != 2)) {
        PyErr_SetString(PyExc_ValueError, "landmarks are arrays [..., 4] of float32");
        PyBuffer_Release(view);
        return -1;
    }
    if (view->shape[last - 1] != count) {
        PyBuffer_Release(view);
        return 0;
    }
    for (Py_ssize_t part = 0; part < parts; part++) {
        landmarks[part].data = (const char *)view->buf + (parts == 2 ? part * view->strides[0] : 0);
        landmarks[part].row = view->strides[last - 1];
        landmarks[part].column = view->strides[last];
    }
    return 1;
}

PyObject *chain_encode(Chain *self, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *start, *body = NULL, *result = NULL;
    Landmarks landmarks[MAX_PARTS] = {{NULL, 0, 0}};
    Py_buffer views[3];
    Frame *before, *made = NULL;
    Py_ssize_t most, start_size, size;
    uint8_t *bytes = NULL;
    int taken = 0, keep;

    if (!takes("encode", count, 7) || !frame_of(self, state, args[4], &before))
        return NULL;
    start = args[0];
    if (!PyBytes_Check(start)) {
        PyErr_SetString(PyExc_TypeError, "start must be bytes");
        return NULL;
    }
    start_size = PyBytes_GET_SIZE(start);
    most = PyLong_AsSsize_t(args[5]);
    if ((most == -1 && PyErr_Occurred()) || (keep = PyObject_IsTrue(args[6])) < 0)
        return NULL;
    for (int kind = 0, part = 0; kind < 3; kind++) {
        const int parts = kind == 2 ? 2 : 1;
        if (args[1 + kind] != Py_None) {
            int fits = 0;
            if (self->has[kind])
                fits = take_array(args[1 + kind], parts, self->layouts[part].count, &views[taken], &landmarks[part]);
            if (fits == 0)
                result = Py_NewRef(Py_None);
            if (fits <= 0)
                goto done;
            taken++;
        } else if (self->has[kind] && before == NULL) {
            PyErr_SetString(PyExc_ValueError, "a keyframe has all parts of its chain");
            goto done;
        }
        part += self->has[kind] ? parts : 0;
    }
    made = new_frame(state, self);
    if (made == NULL)
        goto done;
    size = encode_frame(self, landmarks, before, made, &bytes);
    if (size < 0) {
        PyErr_NoMemory();
        goto done;
    }
    if (size == 0 || size + start_size > most) {
        result = Py_NewRef(Py_None);
        goto done;
    }
    body = PyBytes_FromStringAndSize(NULL, start_size + size);
    if (body == NULL)
        goto done;
    memcpy(PyBytes_AS_STRING(body), PyBytes_AS_STRING(start), (size_t)start_size);
    memcpy(PyBytes_AS_STRING(body) + start_size, bytes, (size_t)size);
    result = PyTuple_Pack(2, body, keep ? (PyObject *)made : Py_None);
done:
    while (taken)
        PyBuffer_Release(&views[--taken]);
    PyMem_Free(bytes);
    Py_XDECREF(body);
    Py_XDECREF(made);
    return result;
}

/* Chain.decode --------------------------------------------------------------------------------------------------- */

static PyObject *refuse(State *state, const char *why)
{
    PyObject *error = PyObject_CallFunction(state->protocol_error, "ss", "3", why);
    if (error != NULL) {
        PyErr_SetObject(state->protocol_error, error);
        Py_DECREF(error);
    }
    return NULL;
}

static void write_landmarks(const Layout *layout, const Part *part, float *values)
{
    const int count = layout->count;
    for (int channel = 0; channel < 4; channel++) {
        const double step = layout->step[channel];
        const int32_t *q = part->q + channel * count;
        const uint8_t *found = part->has_found ? part->found + (channel == 3) * count : NULL;
        for (int j = 0; j < count; j++)
            values[4 * j + channel] = found != NULL && !found[j] ? NAN : (float)(q[j] * step);
    }
}

/* Landmarks of one part, or of two hands, as a new array that cannot be written to: bytes are its memory. */
static PyObject *landmarks_of(Chain *self, State *state, const Frame *frame, int kind, int part)
{
    const int parts = kind == 2 ? 2 : 1, count = self->layouts[part].count;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)parts * count * 16), *array;
    if (bytes == NULL)
        return NULL;
    for (int each = 0; each < parts; each++)
        write_landmarks(&self->layouts[part + each], &frame->parts[part + each],
                        (float *)PyBytes_AS_STRING(bytes) + (Py_ssize_t)each * count * 4);
    array = PyObject_CallFunctionObjArgs(state->ndarray, self->shapes[kind], state->float32, bytes, NULL);
    Py_DECREF(bytes);
    return array;
}

/* The pose as `PoseData.trusted` makes it, in a fraction of its time; what it sets are the slots of a frozen class. */
static PyObject *pose_of(Chain *self, State *state, const Frame *frame, int is_key, PyObject *timestamp,
                         PyObject *skeleton)
{
    PyObject *pose, *array;
    int absent = 0;
    for (int part = 0; part < self->parts; part++)
        absent += frame->parts[part].absent;
    if (is_key && absent)
        return refuse(state, "a keyframe with a part that is not there");
    if (self->has[2] && frame->parts[self->parts - 2].absent != frame->parts[self->parts - 1].absent)
        return refuse(state, "one hand sent without the other");
    if (absent == self->parts)
        return refuse(state, "a frame without any part");
    pose = state->pose_data->tp_alloc(state->pose_data, 0);
    if (pose == NULL)
        return NULL;
    if (PyObject_GenericSetAttr(pose, state->names[3], timestamp) < 0
        || PyObject_GenericSetAttr(pose, state->names[4], skeleton) < 0)
        goto failed;
    for (int kind = 0, part = 0; kind < 3; kind++) {
        int failed;
        if (self->has[kind] && !frame->parts[part].absent)
            array = landmarks_of(self, state, frame, kind, part);
        else
            array = Py_NewRef(Py_None);
        if (self->has[kind])
            part += kind == 2 ? 2 : 1;
        failed = array == NULL || PyObject_GenericSetAttr(pose, state->names[kind], array) < 0;
        Py_XDECREF(array);
        if (failed)
            goto failed;
    }
    return pose;
failed:
    Py_DECREF(pose);
    return NULL;
}

PyObject *chain_decode(Chain *self, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *pose = NULL, *result = NULL;
    char why[WHY_BYTES];
    Py_buffer view;
    Frame *before, *made;
    Py_ssize_t at;
    int keep, outcome;

    if (!takes("decode", count, 6) || !frame_of(self, state, args[2], &before))
        return NULL;
    at = PyLong_AsSsize_t(args[1]);
    if ((at == -1 && PyErr_Occurred()) || (keep = PyObject_IsTrue(args[3])) < 0)
        return NULL;
    made = new_frame(state, self);
    if (made == NULL)
        return NULL;
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        goto done;
    if (at < 0 || at > view.len) {
        PyErr_SetString(PyExc_ValueError, "at must be a place in the body");
        PyBuffer_Release(&view);
        goto done;
    }
    outcome = decode_frame(self, view.buf, view.len, at, before, made, why);
    PyBuffer_Release(&view);
    if (outcome == -2)
        PyErr_NoMemory();
    else if (outcome < 0)
        refuse(state, why);
    else if ((pose = pose_of(self, state, made, before == NULL, args[4], args[5])) != NULL)
        result = PyTuple_Pack(2, keep ? (PyObject *)made : Py_None, pose);
done:
    Py_XDECREF(pose);
    Py_DECREF(made);
    return result;
}
