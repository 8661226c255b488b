// From the FlatBuffer to a graph and plain structures. Trusts nothing that it reads, and needs no C++ runtime: no
// exceptions, no allocation but the arena's, no static objects.
//
// Tables of a hostile FlatBuffer may be shared, so that a small file describes something huge. Two limits hold the work
// to the file's own size: the verifier visits at most one table per 8 bytes, and what the reader copies or scans (names,
// dimensions, ids) is charged against a budget of the metadata's bytes, which an honest file never exceeds because it
// stores each of them once.

#define FLATBUFFERS_ASSERT(condition) ((void)0)
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "engine/format/pith_generated.h"

extern "C" {
#include "engine/format/format_internal.h"
#include "engine/format/names.h"
#include "engine/ir/operator.h"
}

static_assert(FLATBUFFERS_LITTLEENDIAN, "arrays are used where they lie in the file");
static_assert(sizeof(pith_added_token) == sizeof(pith::file::AddedToken) &&
                  offsetof(pith_added_token, text) == 4 && offsetof(pith_added_token, text_bytes) == 8 &&
                  offsetof(pith_added_token, flags) == 12,
              "added tokens are used where they lie");
static_assert(sizeof(pith_template_piece) == sizeof(pith::file::TemplatePiece) &&
                  offsetof(pith_template_piece, type_id) == 4,
              "templates are used where they lie");

namespace {

namespace fb = flatbuffers;
using pith::file::Model;

enum : uint32_t { max_depth = 8, tables_slack = 64, max_shared_name = 255 };

#define TRY(expression)                                                                                    \
  do {                                                                                                     \
    const pith_status try_status = (expression);                                                           \
    if (try_status != PITH_OK)                                                                             \
      return try_status;                                                                                   \
  } while (0)

struct Reader {
  const pith_format_metadata *metadata;
  const Model *model;
  pith_arena *arena; // of what is not the graph's
  pith_graph *graph;
  pith_error *error;
  uint64_t budget;
  uint32_t dtypes, kinds, layouts, operators; // counts of the file's own lists
  const pith_operator **operator_rows;
  uint8_t *dtype_rows, *kind_rows, *layout_rows;
  char unknown[400]; // what this Pith has no row for
  size_t unknown_bytes;
};

template <typename T> uint32_t count_of(const fb::Vector<T> *vector) {
  return vector == nullptr ? 0 : vector->size();
}

pith_status out_of_memory(const Reader &r) {
  return pith_fail(r.error, PITH_OUT_OF_MEMORY, "out of memory while reading the model");
}

template <typename T> pith_status new_array(Reader &r, pith_arena *arena, size_t count, T **out) {
  *out = static_cast<T *>(pith_arena_array(arena, count, sizeof(T)));
  return *out == nullptr ? out_of_memory(r) : PITH_OK;
}

pith_status charge(Reader &r, uint64_t bytes) {
  if (bytes > r.budget)
    return pith_fail(r.error, PITH_FORMAT, "the metadata shares parts that must be separate");
  r.budget -= bytes;
  return PITH_OK;
}

// Zero-terminated and without a zero inside. NULL: none, read as "".
pith_status read_string(Reader &r, const fb::String *from, const char *what, const char **out) {
  *out = "";
  if (from == nullptr)
    return PITH_OK;
  TRY(charge(r, from->size()));
  if (std::memchr(from->data(), 0, from->size()) != nullptr)
    return pith_fail(r.error, PITH_FORMAT, "%s has a zero byte in it", what);
  *out = from->c_str();
  return PITH_OK;
}

// A name that many tables may share, such as an attribute's: short instead of charged.
pith_status read_shared_name(const Reader &r, const fb::String *from, const char *what, const char **out) {
  *out = from == nullptr ? "" : from->c_str();
  if (from != nullptr && (from->size() > max_shared_name || std::strlen(*out) != from->size()))
    return pith_fail(r.error, PITH_FORMAT, "%s is over %u bytes long or has a zero byte in it", what,
                     unsigned{max_shared_name});
  return PITH_OK;
}

// Elements of 8 bytes: the verifier does not check their alignment, and the writer aligns no vector without any.
template <typename T> pith_status check_aligned(const Reader &r, const fb::Vector<T> *vector, const char *what) {
  if (count_of(vector) != 0 && reinterpret_cast<uintptr_t>(vector->Data()) % 8 != 0)
    return pith_fail(r.error, PITH_FORMAT, "%s are not aligned", what);
  return PITH_OK;
}

// Keeps the first few: they are all reported at once.
void note_unknown(Reader &r, const char *what, const char *name, const char *detail) {
  if (r.unknown_bytes >= sizeof r.unknown - 1)
    return;
  const int length = std::snprintf(r.unknown + r.unknown_bytes, sizeof r.unknown - r.unknown_bytes, "%s%s %s%s",
                                   r.unknown_bytes == 0 ? "" : ", ", what, name, detail);
  r.unknown_bytes += length < 0 ? 0 : static_cast<size_t>(length);
}

pith_status fail_unknown(const Reader &r) {
  return pith_fail(r.error, PITH_UNSUPPORTED, "the file (by \"%.60s\") needs what this Pith lacks: %s",
                   r.model->producer() == nullptr ? "" : r.model->producer()->c_str(), r.unknown);
}

// ---- the file's shape -----------------------------------------------------------------------------------------

// The version comes before everything else, so that a newer file is called newer and not malformed.
pith_status check_version(const uint8_t *bytes, const fb::Verifier::Options &options, size_t size,
                          pith_error *error) {
  fb::Verifier verifier(bytes, size, options);
  const fb::uoffset_t offset = verifier.VerifyOffset(sizeof(fb::uoffset_t));
  if (offset == 0)
    return pith_fail(error, PITH_FORMAT, "the metadata is malformed (root)");
  const uint8_t *root = bytes + sizeof(fb::uoffset_t) + offset;
  const auto *table = reinterpret_cast<const fb::Table *>(root);
  if (!verifier.VerifyTableStart(root) ||
      !table->VerifyField<uint16_t>(verifier, Model::VT_VERSION_MAJOR, sizeof(uint16_t)) ||
      !table->VerifyField<uint16_t>(verifier, Model::VT_VERSION_MINOR, sizeof(uint16_t)))
    return pith_fail(error, PITH_FORMAT, "the metadata is malformed (version)");
  const unsigned major = table->GetField<uint16_t>(Model::VT_VERSION_MAJOR, 0);
  const unsigned minor = table->GetField<uint16_t>(Model::VT_VERSION_MINOR, 0);
  if (major == 0)
    return pith_fail(error, PITH_FORMAT, "the metadata gives no format version");
  if (major > PITH_FORMAT_MAJOR)
    return pith_fail(error, PITH_UNSUPPORTED,
                     "file format %u.%u is newer than this Pith, which reads version %d", major, minor,
                     int{PITH_FORMAT_MAJOR});
  if (major < PITH_FORMAT_MAJOR)
    return pith_fail(error, PITH_UNSUPPORTED,
                     "file format %u.%u is older than this Pith, which reads version %d: make the file again from its "
                     "source", major, minor, int{PITH_FORMAT_MAJOR});
  return PITH_OK;
}

// No feature has a name yet, so every name is unknown.
pith_status check_features(Reader &r) {
  for (uint32_t i = 0; i < count_of(r.model->required_features()); i++)
    note_unknown(r, "feature", r.model->required_features()->Get(i)->c_str(), "");
  return r.unknown_bytes == 0 ? PITH_OK : fail_unknown(r);
}

// Segments ascend without overlap, and the last ends where the file does.
pith_status check_segments(const pith_format_metadata &metadata, const Model *model, size_t size,
                           pith_error *error) {
  uint64_t end = 0;
  for (uint32_t i = 0; i < metadata.segment_count; i++) {
    const pith::file::Segment *segment = model->segments()->Get(i);
    uint64_t segment_end;
    if (segment->hash() == nullptr || segment->bytes() == 0)
      return pith_fail(error, PITH_FORMAT, "segment %u has no %s", i, segment->bytes() == 0 ? "bytes" : "hash");
    if (segment->offset() % PITH_FORMAT_ALIGNMENT != 0 || segment->offset() < end)
      return pith_fail(error, PITH_FORMAT, "segment %u begins at %llu: not a multiple of %d at or after %llu", i,
                       static_cast<unsigned long long>(segment->offset()), int{PITH_FORMAT_ALIGNMENT},
                       static_cast<unsigned long long>(end));
    if (__builtin_add_overflow(segment->offset(), segment->bytes(), &segment_end) ||
        segment_end > SIZE_MAX / 2)
      return pith_fail(error, PITH_FORMAT, "segment %u of %llu bytes overflows", i,
                       static_cast<unsigned long long>(segment->bytes()));
    end = (segment_end + PITH_FORMAT_ALIGNMENT - 1) & ~uint64_t{PITH_FORMAT_ALIGNMENT - 1};
  }
  const uint64_t expected = metadata.base + end;
  if (size != expected)
    return pith_fail(error, PITH_FORMAT, "the file has %zu bytes where its metadata asks for %llu: %s", size,
                     static_cast<unsigned long long>(expected),
                     size < expected ? "it is truncated" : "something follows its end");
  return PITH_OK;
}

bool copy_lies_in(const fb::Vector<fb::Offset<pith::file::Copy>> *copies, uint32_t segment) {
  for (uint32_t i = 0; i < count_of(copies); i++)
    if (copies->Get(i)->segment() == segment)
      return true;
  return false;
}

} // namespace

extern "C" pith_status pith_format_read_metadata(const void *file, size_t size, pith_format_metadata *out_metadata,
                                                 pith_error *error) {
  const auto *bytes = static_cast<const uint8_t *>(file);
  if (size < 3 * sizeof(fb::uoffset_t))
    return pith_fail(error, PITH_FORMAT, "not a .pith file: %zu bytes are too short", size);
  if (reinterpret_cast<uintptr_t>(bytes) % PITH_FORMAT_ALIGNMENT != 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "the file's first byte is not aligned to %d bytes",
                     int{PITH_FORMAT_ALIGNMENT});
  if (!pith::file::SizePrefixedModelBufferHasIdentifier(bytes))
    return pith_fail(error, PITH_FORMAT, "not a .pith file: bytes 8 to 11 are not \"%s\"",
                     pith::file::ModelIdentifier());
  const size_t metadata_bytes = sizeof(fb::uoffset_t) + size_t{fb::ReadScalar<fb::uoffset_t>(bytes)};
  if (metadata_bytes > size)
    return pith_fail(error, PITH_FORMAT, "metadata of %zu bytes in a file of %zu: it is truncated",
                     metadata_bytes, size);
  if (metadata_bytes >= FLATBUFFERS_MAX_BUFFER_SIZE)
    return pith_fail(error, PITH_FORMAT, "metadata of %zu bytes: at most 2 GiB are possible", metadata_bytes);
  fb::Verifier::Options options;
  options.max_depth = max_depth;
  options.max_tables = static_cast<fb::uoffset_t>(metadata_bytes / 8 + tables_slack);
  TRY(check_version(bytes, options, metadata_bytes, error));
  fb::Verifier verifier(bytes, metadata_bytes, options);
  if (!pith::file::VerifySizePrefixedModelBuffer(verifier))
    return pith_fail(error, PITH_FORMAT, "the metadata is malformed");
  const Model *model = pith::file::GetSizePrefixedModel(bytes);
  if (model->hash() == nullptr)
    return pith_fail(error, PITH_FORMAT, "the metadata has no hash");
  pith_format_metadata metadata = {};
  metadata.root = model;
  metadata.file = bytes;
  metadata.bytes = metadata_bytes;
  metadata.base = (metadata_bytes + PITH_FORMAT_BASE_ALIGNMENT - 1) & ~size_t{PITH_FORMAT_BASE_ALIGNMENT - 1};
  metadata.hash_offset = static_cast<size_t>(model->hash()->bytes()->Data() - bytes);
  metadata.segment_count = count_of(model->segments());
  TRY(check_segments(metadata, model, size, error));
  *out_metadata = metadata;
  return PITH_OK;
}

extern "C" void pith_format_get_segment(const pith_format_metadata *metadata, uint32_t index,
                                        pith_format_segment *out_segment) {
  const pith::file::Segment *segment = static_cast<const Model *>(metadata->root)->segments()->Get(index);
  out_segment->offset = segment->offset();
  out_segment->bytes = segment->bytes();
  std::memcpy(out_segment->hash, segment->hash()->bytes()->Data(), sizeof out_segment->hash);
}

extern "C" const char *pith_format_get_segment_name(const pith_format_metadata *metadata, uint32_t index) {
  const auto *tensors = static_cast<const Model *>(metadata->root)->graph()->tensors();
  for (uint32_t i = 0; i < count_of(tensors); i++)
    if (tensors->Get(i)->segment() == index || copy_lies_in(tensors->Get(i)->copies(), index))
      return tensors->Get(i)->name()->c_str();
  return "";
}

// ---- graph ------------------------------------------------------------------------------------------------------

namespace {

// The row that a name stands for, here; 0 where there is no name or it is unknown, which is noted.
pith_status read_row(Reader &r, const fb::String *from, const char *what, pith_format_names names, int *out_row) {
  const char *name;
  *out_row = 0;
  if (from == nullptr)
    return PITH_OK;
  TRY(read_shared_name(r, from, what, &name));
  *out_row = pith_format_find_name(names, name);
  if (*out_row >= 0)
    return PITH_OK;
  *out_row = 0;
  note_unknown(r, what, name, "");
  return PITH_OK;
}

// What each entry of one of the file's lists of names is here.
pith_status read_rows(Reader &r, const fb::Vector<fb::Offset<fb::String>> *from, const char *what,
                      pith_format_names names, uint32_t *out_count, uint8_t **out_rows) {
  *out_count = count_of(from);
  TRY(new_array(r, r.arena, *out_count, out_rows));
  for (uint32_t i = 0; i < *out_count; i++) {
    int row;
    TRY(read_row(r, from->Get(i), what, names, &row));
    (*out_rows)[i] = static_cast<uint8_t>(row);
  }
  return PITH_OK;
}

pith_status read_operators(Reader &r, const pith::file::Graph *from) {
  r.operators = count_of(from->operators());
  TRY(new_array(r, r.arena, r.operators, &r.operator_rows));
  for (uint32_t i = 0; i < r.operators; i++) {
    const pith::file::Operator *op = from->operators()->Get(i);
    const char *name, *domain;
    TRY(read_shared_name(r, op->name(), "an operator's name", &name));
    TRY(read_shared_name(r, op->domain(), "an operator's domain", &domain));
    const pith_operator *row = pith_operator_find(domain, name);
    if (row == nullptr || row->version != op->version()) {
      char detail[80];
      std::snprintf(detail, sizeof detail, " (domain \"%.20s\", version %d)", domain, op->version());
      note_unknown(r, "operator", name, detail);
    }
    r.operator_rows[i] = row;
  }
  return PITH_OK;
}

pith_status read_dims(Reader &r, const pith::file::Tensor *from, pith_tensor *to) {
  const uint32_t rank = count_of(from->dims()), terms = count_of(from->terms());
  if (rank > PITH_MAX_RANK)
    return pith_fail(r.error, PITH_FORMAT, "tensor '%s' has rank %u: at most %d", to->name, rank,
                     int{PITH_MAX_RANK});
  TRY(check_aligned(r, from->dims(), "a tensor's dimensions"));
  TRY(check_aligned(r, from->terms(), "a tensor's dimensions"));
  TRY(charge(r, uint64_t{terms} * sizeof(pith::file::DimTerm)));
  to->rank = rank;
  for (uint32_t i = 0; i < rank; i++)
    to->dims[i].constant = from->dims()->Get(i);
  if (terms == 0)
    return PITH_OK;
  pith_dim_term *values;
  TRY(new_array(r, &r.graph->arena, terms, &values));
  uint32_t dimension = 0;
  for (uint32_t i = 0; i < terms; i++) {
    const pith::file::DimTerm *term = from->terms()->Get(i);
    if (term->dimension() < dimension || term->dimension() >= rank || term->symbol() >= r.graph->symbol_count)
      return pith_fail(r.error, PITH_FORMAT, "tensor '%s' has a term of dimension %u and symbol %u: out of range",
                       to->name, term->dimension(), term->symbol());
    dimension = term->dimension();
    values[i].symbol = term->symbol();
    values[i].coefficient = term->coefficient();
    pith_dim *dim = &to->dims[dimension];
    if (dim->term_count++ == 0)
      dim->terms = &values[i];
  }
  return PITH_OK;
}

// Where the bytes of a tensor, or of a copy of one, lie in the file; they are not read.
template <typename From> pith_status find_bytes(Reader &r, const From *from, const char *name, const void **out) {
  alignas(64) static const uint8_t nothing[64] = {};
  *out = nothing;
  if (from->bytes() == 0)
    return PITH_OK;
  if (from->segment() >= r.metadata->segment_count)
    return pith_fail(r.error, PITH_FORMAT, "tensor '%s' lies in segment %u of %u", name, from->segment(),
                     r.metadata->segment_count);
  const pith::file::Segment *segment = r.model->segments()->Get(from->segment());
  if (from->offset() % PITH_FORMAT_ALIGNMENT != 0 || from->offset() > segment->bytes() ||
      from->bytes() > segment->bytes() - from->offset())
    return pith_fail(r.error, PITH_FORMAT, "tensor '%s' of %llu bytes at %llu is outside its segment of %llu",
                     name, static_cast<unsigned long long>(from->bytes()),
                     static_cast<unsigned long long>(from->offset()),
                     static_cast<unsigned long long>(segment->bytes()));
  *out = r.metadata->file + r.metadata->base + segment->offset() + from->offset();
  return PITH_OK;
}

// Whether two ranges, both in the file, share a byte.
bool overlap(const void *a, uint64_t a_bytes, const void *b, uint64_t b_bytes) {
  const auto a_begin = reinterpret_cast<uintptr_t>(a), b_begin = reinterpret_cast<uintptr_t>(b);
  return a_bytes != 0 && b_bytes != 0 && a_begin < b_begin + b_bytes && b_begin < a_begin + a_bytes;
}

pith_status read_copy(Reader &r, const pith::file::Copy *from, const pith_tensor *tensor, pith_tensor_copy *to) {
  if (from->layout() >= r.layouts)
    return pith_fail(r.error, PITH_FORMAT, "a copy of '%s' has layout %u of %u", tensor->name, from->layout(),
                     r.layouts);
  to->layout = static_cast<pith_layout>(r.layout_rows[from->layout()]);
  to->transposed = from->transposed();
  to->target_count = count_of(from->targets());
  TRY(charge(r, uint64_t{to->target_count} * sizeof(fb::uoffset_t)));
  const char **targets;
  TRY(new_array(r, &r.graph->arena, to->target_count, &targets));
  for (uint32_t i = 0; i < to->target_count; i++)
    TRY(read_shared_name(r, from->targets()->Get(i), "a copy's target", &targets[i]));
  to->targets = targets;
  to->data_bytes = from->bytes();
  return find_bytes(r, from, tensor->name, &to->data);
}

pith_status read_copies(Reader &r, const pith::file::Tensor *from, pith_tensor *to) {
  const uint32_t count = count_of(from->copies());
  if (count == 0)
    return PITH_OK;
  if (count > PITH_MAX_COPIES)
    return pith_fail(r.error, PITH_LIMIT, "'%s' has %u copies, over %d", to->name, count, int{PITH_MAX_COPIES});
  pith_tensor_copy *copies;
  TRY(new_array(r, &r.graph->arena, count, &copies));
  for (uint32_t i = 0; i < count; i++) {
    TRY(read_copy(r, from->copies()->Get(i), to, &copies[i]));
    bool overlaps = overlap(copies[i].data, copies[i].data_bytes, to->data, to->data_bytes);
    for (uint32_t j = 0; j < i; j++)
      overlaps |= overlap(copies[i].data, copies[i].data_bytes, copies[j].data, copies[j].data_bytes);
    if (overlaps)
      return pith_fail(r.error, PITH_FORMAT, "copy %u of '%s' lies over what it is a copy of", i, to->name);
  }
  to->copy_count = count;
  to->copies = copies;
  return PITH_OK;
}

// Points a constant or parameter at its bytes, which are not read.
pith_status read_data(Reader &r, const pith::file::Tensor *from, pith_tensor *to) {
  const bool has_data = to->kind == PITH_TENSOR_CONSTANT || to->kind == PITH_TENSOR_PARAMETER;
  if (!has_data) {
    if (from->segment() != PITH_NONE || from->bytes() != 0 || count_of(from->copies()) != 0)
      return pith_fail(r.error, PITH_FORMAT, "tensor '%s' has data, but is computed or given", to->name);
    return PITH_OK;
  }
  to->data_bytes = from->bytes();
  TRY(find_bytes(r, from, to->name, &to->data));
  return read_copies(r, from, to);
}

pith_status read_pattern(Reader &r, const pith::file::Tensor *from, pith_tensor *to) {
  to->kept = from->kept();
  if (from->pattern() == nullptr)
    return PITH_OK;
  const char *text;
  pith_error detail;
  TRY(read_shared_name(r, from->pattern(), "a tensor's pattern", &text));
  if (pith_pattern_parse(text, &to->pattern, &detail) != PITH_OK)
    return pith_fail(r.error, PITH_FORMAT, "tensor '%s': %s", to->name, detail.message);
  return PITH_OK;
}

pith_status read_tensor(Reader &r, const pith::file::Tensor *from, pith_tensor *to) {
  TRY(read_string(r, from->name(), "a tensor's name", &to->name));
  if (from->kind() >= r.kinds || from->dtype() >= r.dtypes || from->layout() >= r.layouts)
    return pith_fail(r.error, PITH_FORMAT, "tensor '%s' has kind %u of %u, dtype %u of %u, layout %u of %u",
                     to->name, from->kind(), r.kinds, from->dtype(), r.dtypes, from->layout(), r.layouts);
  to->kind = static_cast<pith_tensor_kind>(r.kind_rows[from->kind()]);
  to->dtype = static_cast<pith_dtype>(r.dtype_rows[from->dtype()]);
  to->layout = static_cast<pith_layout>(r.layout_rows[from->layout()]);
  to->producer = PITH_NONE;
  TRY(read_dims(r, from, to));
  TRY(read_pattern(r, from, to));
  return read_data(r, from, to);
}

pith_status read_ids(Reader &r, const fb::Vector<uint32_t> *from, uint32_t *out_count, uint32_t **out) {
  *out_count = count_of(from);
  TRY(charge(r, uint64_t{*out_count} * sizeof(uint32_t)));
  TRY(new_array(r, &r.graph->arena, *out_count, out));
  if (*out_count != 0)
    std::memcpy(*out, from->data(), *out_count * sizeof(uint32_t));
  return PITH_OK;
}

pith::file::ValueKind kind_of(pith_attribute_type type) {
  switch (type) {
  case PITH_ATTRIBUTE_INT:
    return pith::file::ValueKind_Int;
  case PITH_ATTRIBUTE_FLOAT:
    return pith::file::ValueKind_Float;
  case PITH_ATTRIBUTE_INTS:
    return pith::file::ValueKind_Ints;
  case PITH_ATTRIBUTE_ENUM:
  case PITH_ATTRIBUTE_DTYPE:
    break;
  }
  return pith::file::ValueKind_Name;
}

// The value as the operator's row types it.
pith_status read_value(Reader &r, const pith_node *node, const pith::file::Attribute *from,
                       const pith_attribute_row *row, pith_attribute *to) {
  if (from->kind() != kind_of(row->type))
    return pith_fail(r.error, PITH_FORMAT, "attribute '%s' of node '%s' has the wrong type", row->name, node->name);
  to->type = row->type;
  const char *text;
  TRY(read_shared_name(r, from->text(), "an attribute's value", &text));
  switch (row->type) {
  case PITH_ATTRIBUTE_INT:
    to->i = from->int_();
    break;
  case PITH_ATTRIBUTE_FLOAT:
    to->f = from->float_();
    break;
  case PITH_ATTRIBUTE_INTS: {
    TRY(check_aligned(r, from->ints(), "an attribute's values"));
    const uint32_t count = count_of(from->ints());
    int64_t *values;
    TRY(charge(r, uint64_t{count} * sizeof *values));
    TRY(new_array(r, &r.graph->arena, count, &values));
    if (count != 0)
      std::memcpy(values, from->ints()->data(), count * sizeof *values);
    to->ints.count = count;
    to->ints.values = values;
    break;
  }
  case PITH_ATTRIBUTE_ENUM:
    to->i = 0;
    while (row->names[to->i] != nullptr && std::strcmp(row->names[to->i], text) != 0)
      to->i++;
    if (row->names[to->i] == nullptr)
      note_unknown(r, row->name, text, "");
    break;
  case PITH_ATTRIBUTE_DTYPE:
    to->i = pith_format_find_name(pith_format_dtype_name, text);
    if (to->i < 0)
      note_unknown(r, "dtype", text, "");
    break;
  }
  return PITH_OK;
}

void set_default(const pith_attribute_row *row, pith_attribute *to) {
  to->type = row->type;
  if (row->type == PITH_ATTRIBUTE_FLOAT)
    to->f = row->default_float;
  else if (row->type != PITH_ATTRIBUTE_INTS)
    to->i = row->default_int;
}

pith_status read_attributes(Reader &r, const pith::file::Node *from, pith_node *to) {
  const pith_attribute_row *rows = to->op->attributes;
  uint32_t count = 0;
  while (rows[count].name != nullptr)
    count++;
  TRY(new_array(r, &r.graph->arena, count, &to->attributes));
  for (uint32_t i = 0; i < count; i++)
    set_default(&rows[i], &to->attributes[i]);
  static_assert(PITH_MAX_ATTRIBUTES <= 32, "seen has a bit for each");
  uint32_t seen = 0;
  for (uint32_t i = 0; i < count_of(from->attributes()); i++) {
    const pith::file::Attribute *attribute = from->attributes()->Get(i);
    const char *name;
    TRY(read_shared_name(r, attribute->name(), "an attribute's name", &name));
    uint32_t row = 0;
    while (row < count && std::strcmp(rows[row].name, name) != 0)
      row++;
    if (row == count) {
      note_unknown(r, to->op->name, name, "");
      continue;
    }
    if ((seen >> row & 1) != 0)
      return pith_fail(r.error, PITH_FORMAT, "node '%s' has attribute '%s' twice", to->name, name);
    seen |= uint32_t{1} << row;
    TRY(read_value(r, to, attribute, &rows[row], &to->attributes[row]));
  }
  for (uint32_t i = 0; i < count; i++)
    if (rows[i].required && (seen >> i & 1) == 0)
      return pith_fail(r.error, PITH_FORMAT, "node '%s' lacks attribute '%s'", to->name, rows[i].name);
  return PITH_OK;
}

pith_status read_node(Reader &r, pith_node_id id, const pith::file::Node *from, pith_node *to) {
  TRY(read_string(r, from->name(), "a node's name", &to->name));
  if (from->operator_() >= r.operators)
    return pith_fail(r.error, PITH_FORMAT, "node '%s' has operator %u of %u", to->name, from->operator_(),
                     r.operators);
  to->op = r.operator_rows[from->operator_()];
  TRY(read_ids(r, from->inputs(), &to->input_count, &to->inputs));
  TRY(read_ids(r, from->outputs(), &to->output_count, &to->outputs));
  for (uint32_t i = 0; i < to->output_count; i++) {
    if (to->outputs[i] >= r.graph->tensor_count)
      return pith_fail(r.error, PITH_FORMAT, "node '%s' writes tensor %u of %u", to->name, to->outputs[i],
                       r.graph->tensor_count);
    pith_tensor *tensor = &r.graph->tensors[to->outputs[i]];
    if (tensor->producer != PITH_NONE)
      return pith_fail(r.error, PITH_FORMAT, "node '%s' writes '%s', which has another producer", to->name,
                       tensor->name);
    tensor->producer = id;
  }
  return read_attributes(r, from, to);
}

pith_status read_graph(Reader &r, const pith::file::Graph *from) {
  pith_graph *graph = r.graph;
  TRY(read_rows(r, from->dtypes(), "dtype", pith_format_dtype_name, &r.dtypes, &r.dtype_rows));
  TRY(read_rows(r, from->kinds(), "tensor kind", pith_format_kind_name, &r.kinds, &r.kind_rows));
  TRY(read_rows(r, from->layouts(), "layout", pith_format_layout_name, &r.layouts, &r.layout_rows));
  TRY(read_operators(r, from));
  if (r.unknown_bytes != 0)
    return fail_unknown(r);
  const uint32_t symbols = count_of(from->symbols());
  TRY(new_array(r, &graph->arena, symbols, &graph->symbols));
  for (uint32_t i = 0; i < symbols; i++)
    TRY(read_string(r, from->symbols()->Get(i), "a symbol's name", &graph->symbols[i]));
  graph->symbol_count = graph->symbol_capacity = symbols;
  const uint32_t tensors = count_of(from->tensors());
  TRY(new_array(r, &graph->arena, tensors, &graph->tensors));
  for (uint32_t i = 0; i < tensors; i++)
    TRY(read_tensor(r, from->tensors()->Get(i), &graph->tensors[i]));
  graph->tensor_count = graph->tensor_capacity = tensors;
  const uint32_t nodes = count_of(from->nodes());
  TRY(new_array(r, &graph->arena, nodes, &graph->nodes));
  for (uint32_t i = 0; i < nodes; i++)
    TRY(read_node(r, i, from->nodes()->Get(i), &graph->nodes[i]));
  graph->node_count = graph->node_capacity = nodes;
  TRY(read_ids(r, from->inputs(), &graph->input_count, &graph->inputs));
  TRY(read_ids(r, from->outputs(), &graph->output_count, &graph->outputs));
  graph->input_capacity = graph->input_count;
  graph->output_capacity = graph->output_count;
  return PITH_OK;
}

// ---- the rest -----------------------------------------------------------------------------------------------------

pith_status read_strings(Reader &r, const fb::Vector<fb::Offset<fb::String>> *from, const char *what,
                         uint32_t *out_count, const char *const **out) {
  const char **strings;
  *out_count = count_of(from);
  TRY(new_array(r, r.arena, *out_count, &strings));
  for (uint32_t i = 0; i < *out_count; i++)
    TRY(read_string(r, from->Get(i), what, &strings[i]));
  *out = strings;
  return PITH_OK;
}

template <typename To, typename From> const To *array_of(const fb::Vector<From> *from) {
  return from == nullptr ? nullptr : reinterpret_cast<const To *>(from->Data());
}

pith_status read_normalizer(Reader &r, const fb::Vector<fb::Offset<fb::String>> *from, uint32_t *out) {
  if (count_of(from) > PITH_NORMALIZE_MAX_STEPS)
    return pith_fail(r.error, PITH_UNSUPPORTED, "the tokenizer has %u normalizer steps: at most %d",
                     count_of(from), int{PITH_NORMALIZE_MAX_STEPS});
  *out = 0;
  for (uint32_t i = 0; i < count_of(from); i++) {
    int step;
    TRY(read_row(r, from->Get(i), "normalizer", pith_format_normalize_name, &step));
    *out |= static_cast<uint32_t>(step) << (PITH_NORMALIZE_BITS * i);
  }
  return PITH_OK;
}

pith_status read_tokenizer(Reader &r, const pith::file::Tokenizer *from, pith_model_data *out) {
  pith_tokenizer_data *to;
  TRY(new_array(r, r.arena, 1, &to));
  int kind, pre_tokenizer;
  TRY(read_row(r, from->kind(), "tokenizer", pith_format_tokenizer_name, &kind));
  to->kind = static_cast<pith_tokenizer_kind>(kind);
  TRY(read_row(r, from->pre_tokenizer(), "pre-tokenizer", pith_format_pre_tokenize_name, &pre_tokenizer));
  to->pre_tokenizer = static_cast<uint32_t>(pre_tokenizer);
  TRY(read_normalizer(r, from->normalizer(), &to->normalizer));
  to->flags = from->flags();
  to->unk_id = from->unk_id();
  to->cls_id = from->cls_id();
  to->sep_id = from->sep_id();
  to->pad_id = from->pad_id();
  to->mask_id = from->mask_id();
  to->max_word_chars = from->max_word_chars();
  TRY(read_string(r, from->continuing_prefix(), "the tokenizer's prefix", &to->continuing_prefix));
  to->token_count = from->token_count();
  if (from->token_lengths()->size() != pith_token_blocks_round(to->token_count))
    return pith_fail(r.error, PITH_FORMAT, "the tokenizer has %u lengths for %u tokens", from->token_lengths()->size(),
                     to->token_count);
  to->token_start_count = from->token_starts()->size();
  to->token_starts = from->token_starts()->data();
  to->token_lengths = from->token_lengths()->data();
  to->token_text = array_of<char>(from->token_text());
  to->token_text_bytes = count_of(from->token_text());
  to->index_count = count_of(from->index());
  to->index = array_of<uint32_t>(from->index());
  to->merge_word_count = count_of(from->merges());
  to->merges = array_of<uint32_t>(from->merges());
  to->added_count = count_of(from->added());
  to->added = array_of<pith_added_token>(from->added());
  to->added_text = array_of<char>(from->added_text());
  to->added_text_bytes = count_of(from->added_text());
  to->single_count = count_of(from->single_template());
  to->single_template = array_of<pith_template_piece>(from->single_template());
  to->pair_count = count_of(from->pair_template());
  to->pair_template = array_of<pith_template_piece>(from->pair_template());
  out->tokenizer = to;
  return PITH_OK;
}

pith_status read_records(Reader &r, pith_model_data *out) {
  out->history_count = count_of(r.model->history());
  pith_history_entry *history;
  TRY(new_array(r, r.arena, out->history_count, &history));
  for (uint32_t i = 0; i < out->history_count; i++) {
    const pith::file::HistoryEntry *from = r.model->history()->Get(i);
    TRY(read_string(r, from->step(), "a step of the history", &history[i].step));
    TRY(read_string(r, from->version(), "a step of the history", &history[i].version));
    TRY(read_string(r, from->json(), "a step of the history", &history[i].json));
  }
  out->history = history;
  out->report_count = count_of(r.model->report());
  pith_report_entry *report;
  TRY(new_array(r, r.arena, out->report_count, &report));
  for (uint32_t i = 0; i < out->report_count; i++) {
    const pith::file::ReportEntry *from = r.model->report()->Get(i);
    TRY(read_string(r, from->task(), "an entry of the report", &report[i].task));
    TRY(read_string(r, from->metric(), "an entry of the report", &report[i].metric));
    report[i].value = from->value();
    report[i].samples = from->samples();
  }
  out->report = report;
  return PITH_OK;
}

pith_status read_model(Reader &r, pith_model_data *out) {
  TRY(check_features(r));
  TRY(read_graph(r, r.model->graph()));
  TRY(read_string(r, r.model->architecture(), "the architecture", &out->architecture));
  int task;
  TRY(read_row(r, r.model->task(), "task", pith_format_task_name, &task));
  out->task = static_cast<pith_task>(task);
  TRY(read_strings(r, r.model->labels(), "a label", &out->label_count, &out->labels));
  out->max_length = r.model->max_length();
  out->hidden_size = r.model->hidden_size();
  if (r.model->tokenizer() != nullptr)
    TRY(read_tokenizer(r, r.model->tokenizer(), out));
  TRY(read_string(r, r.model->config_json(), "the configuration", &out->config_json));
  TRY(read_records(r, out));
  return r.unknown_bytes == 0 ? pith_graph_verify(r.graph, r.error) : fail_unknown(r);
}

} // namespace

extern "C" pith_status pith_format_read(const void *bytes, size_t size, const pith_allocator *allocator,
                                        pith_arena *arena, pith_model_data *out_data, pith_error *error) {
  pith_format_metadata metadata;
  TRY(pith_format_read_metadata(bytes, size, &metadata, error));
  Reader r = {};
  r.metadata = &metadata;
  r.model = static_cast<const Model *>(metadata.root);
  r.arena = arena;
  r.error = error;
  r.budget = metadata.bytes;
  const char *name;
  TRY(read_string(r, r.model->graph()->name(), "the graph's name", &name));
  TRY(pith_graph_create(allocator, name, &r.graph, error));
  pith_model_data data = {};
  const pith_status status = read_model(r, &data);
  if (status != PITH_OK) {
    pith_graph_destroy(r.graph);
    return status;
  }
  data.graph = r.graph;
  *out_data = data;
  return PITH_OK;
}
