/* Body version 3, compiled: the module, and how its two types come and go. _speedups.pyi says what they do. */

#include "_speedups.h"

enum { REVISION = 1 };                    /* of these sources; pose_codec.py uses no other */

/* Frame -------------------------------------------------------------------------------------------------------- */

Frame *new_frame(State *state, Chain *chain)
{
    const Py_ssize_t landmarks = chain->landmarks;
    Frame *frame = PyObject_NewVar(Frame, state->frame, 7 * landmarks + (2 * landmarks + 3) / 4);
    int32_t *numbers;
    uint8_t *found;
    if (frame == NULL)
        return NULL;
    frame->chain = (Chain *)Py_NewRef((PyObject *)chain);
    memset(frame->parts, 0, sizeof frame->parts);
    numbers = frame->numbers;
    found = (uint8_t *)(numbers + 7 * landmarks);
    for (int part = 0; part < chain->parts; part++) {
        const int count = chain->layouts[part].count;
        frame->parts[part].q = numbers;
        frame->parts[part].motion = numbers + 4 * count;
        frame->parts[part].found = found;
        numbers += 7 * count;
        found += 2 * count;
    }
    return frame;
}

static void frame_dealloc(Frame *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(self->chain);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot frame_slots[] = {
    {Py_tp_dealloc, frame_dealloc},
    {Py_tp_doc, "A keyframe or anchor, as those that refer to it need it."},
    {0, NULL},
};

static PyType_Spec frame_spec = {
    .name = "posewire.protocol._speedups.Frame",
    .basicsize = offsetof(Frame, numbers),
    .itemsize = sizeof(int32_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = frame_slots,
};

/* Chain, from Python --------------------------------------------------------------------------------------------- */

static int read_layout(PyObject *item, Layout *layout)
{
    const char *parents, *offsets, *weights, *scale;
    Py_ssize_t parents_size, offsets_size, weights_size, scale_size;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(item, "iy#y#y#y#;a part is (count, parents, offsets, weights, scale)", &layout->count, &parents,
                          &parents_size, &offsets, &offsets_size, &weights, &weights_size, &scale, &scale_size))
        return -1;
    count = layout->count;
    layout->is_chain = parents_size == 0;
    if (count < 1 || count > MAX_LANDMARKS || scale_size != (Py_ssize_t)sizeof layout->scale
        || (!layout->is_chain
            && (count > MAX_TREE || parents_size != count || offsets_size != 4 * count || weights_size != 32 * count))) {
        PyErr_SetString(PyExc_ValueError, "tables of the wrong size");
        return -1;
    }
    memcpy(layout->scale, scale, sizeof layout->scale);
    for (int channel = 0; channel < 4; channel++)
        layout->step[channel] = 1.0 / layout->scale[channel];
    if (layout->is_chain)
        return 0;
    memcpy(layout->parents, parents, (size_t)count);
    for (int channel = 0; channel < 4; channel++) {
        memcpy(layout->offsets[channel], offsets + channel * count, (size_t)count);
        memcpy(layout->weights[channel], weights + channel * count * 8, 8 * (size_t)count);
    }
    for (int j = 1; j < count; j++)
        if (layout->parents[j] >= j) {
            PyErr_SetString(PyExc_ValueError, "a parent after its child");
            return -1;
        }
    return 0;
}

static PyObject *chain_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *parts;
    Chain *self;
    int has[3];
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Chain takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!ppp", &PyList_Type, &parts, &has[0], &has[1], &has[2]))
        return NULL;
    if (PyList_GET_SIZE(parts) != has[0] + has[1] + 2 * has[2] || PyList_GET_SIZE(parts) == 0) {
        PyErr_SetString(PyExc_ValueError, "hands are two parts, pose and face one each");
        return NULL;
    }
    self = (Chain *)type->tp_alloc(type, 0); /* zeroed */
    if (self == NULL)
        return NULL;
    self->parts = (int)PyList_GET_SIZE(parts);
    memcpy(self->has, has, sizeof has);
    for (int part = 0; part < self->parts; part++) {
        Layout *layout = &self->layouts[part];
        if (read_layout(PyList_GET_ITEM(parts, part), layout) < 0)
            goto failed;
        self->landmarks += layout->count;
        self->most = layout->count > self->most ? layout->count : self->most;
    }
    for (int kind = 0, part = 0; kind < 3; part += has[kind++]) {
        const int count = self->layouts[part].count;
        if (!has[kind])
            continue;
        if (kind == 2 && self->layouts[part + 1].count != count) {
            PyErr_SetString(PyExc_ValueError, "hands of different size");
            goto failed;
        }
        self->shapes[kind] = kind == 2 ? Py_BuildValue("(iii)", 2, count, 4) : Py_BuildValue("(ii)", count, 4);
        if (self->shapes[kind] == NULL)
            goto failed;
    }
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void chain_dealloc(Chain *self)
{
    PyTypeObject *type = Py_TYPE(self);
    for (int kind = 0; kind < 3; kind++)
        Py_XDECREF(self->shapes[kind]);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef chain_methods[] = {
    {"encode", (PyCFunction)(void (*)(void))chain_encode, METH_FASTCALL,
     "encode(start, pose, face, hands, before, most, keep)\n--\n\nReturn a frame's bytes and, to keep, the frame."},
    {"decode", (PyCFunction)(void (*)(void))chain_decode, METH_FASTCALL,
     "decode(body, at, before, keep, timestamp, skeleton)\n--\n\nReturn, to keep, a frame, and its pose."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot chain_slots[] = {
    {Py_tp_new, chain_new},
    {Py_tp_dealloc, chain_dealloc},
    {Py_tp_methods, chain_methods},
    {Py_tp_doc, "Chain(parts, pose, face, hands)\n--\n\nWhat all frames after a keyframe share."},
    {0, NULL},
};

static PyType_Spec chain_spec = {
    .name = "posewire.protocol._speedups.Chain",
    .basicsize = sizeof(Chain),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = chain_slots,
};

/* Module --------------------------------------------------------------------------------------------------------- */

static PyObject *imported(const char *module, const char *name)
{
    PyObject *found = PyImport_ImportModule(module), *value;
    if (found == NULL)
        return NULL;
    value = PyObject_GetAttrString(found, name);
    Py_DECREF(found);
    return value;
}

static int module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    static const char *const names[5] = {"pose_landmarks", "face_landmarks", "hand_landmarks", "timestamp", "skeleton"};
    PyObject *dtype, *pose_data;
    fill_pairs();
    for (int i = 0; i < 5; i++)
        if ((state->names[i] = PyUnicode_InternFromString(names[i])) == NULL)
            return -1;
    if ((pose_data = imported("posewire.protocol.pose_data", "PoseData")) == NULL)
        return -1;
    if (!PyType_Check(pose_data)) {
        Py_DECREF(pose_data);
        PyErr_SetString(PyExc_ImportError, "PoseData is no class");
        return -1;
    }
    state->pose_data = (PyTypeObject *)pose_data;
    if ((state->protocol_error = imported("posewire.errors", "ProtocolError")) == NULL
        || (state->ndarray = imported("numpy", "ndarray")) == NULL || (dtype = imported("numpy", "dtype")) == NULL)
        return -1;
    state->float32 = PyObject_CallFunction(dtype, "s", "float32");
    Py_DECREF(dtype);
    if (state->float32 == NULL
        || (state->frame = (PyTypeObject *)PyType_FromModuleAndSpec(module, &frame_spec, NULL)) == NULL
        || (state->chain = (PyTypeObject *)PyType_FromModuleAndSpec(module, &chain_spec, NULL)) == NULL)
        return -1;
    if (PyModule_AddType(module, state->chain) < 0 || PyModule_AddType(module, state->frame) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "REVISION", REVISION);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->chain);
    Py_VISIT(state->frame);
    Py_VISIT(state->pose_data);
    Py_VISIT(state->protocol_error);
    Py_VISIT(state->ndarray);
    Py_VISIT(state->float32);
    return 0;
}

static int module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->chain);
    Py_CLEAR(state->frame);
    Py_CLEAR(state->pose_data);
    Py_CLEAR(state->protocol_error);
    Py_CLEAR(state->ndarray);
    Py_CLEAR(state->float32);
    for (int i = 0; i < 5; i++)
        Py_CLEAR(state->names[i]);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "posewire.protocol._speedups",
    .m_doc = "Body version 3, compiled: see pose_codec.py.",
    .m_size = sizeof(State),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__speedups(void)
{
    return PyModuleDef_Init(&module_def);
}
