#include "ops/gemm/gemm_f32_blocked.h"

#include <stdbool.h>
#include <string.h>

enum {
  /* Inputs of a chunk, rows of a task and floats of x of a task, at most. x is read again for every block: 768 KiB of it
   * stay mostly in a second-level cache of 1 MiB beside a chunk of weights, 256 KiB. Measured on such a one: 512 KiB lose
   * 3 % where that makes two groups of 53 rows, 1 MiB and chunks of 384 to 768 inputs 0 to 2 %. */
  MAX_CHUNK = 1024,
  MAX_TASK_ROWS = 84,
  MAX_TASK_INPUTS = 192 * 1024,
  TASKS_PER_THREAD = 4 /* at least, where there is that much to share out: threads may differ in speed */
};

static size_t divide_up(size_t a, size_t b) {
  return (a + b - 1) / b;
}

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

/* The i-th boundary of `parts` nearly equal parts of `total`. */
static size_t part_start(size_t total, size_t parts, size_t i) {
  return total / parts * i + min_size(i, total % parts);
}

static bool is_repacked(const pith_gemm_f32_args *a) {
  for (size_t s = 0; s < a->segment_count; ++s)
    if (a->segments[s].form != PITH_GEMM_BLOCKS)
      return true;
  return false;
}

typedef struct plan {
  size_t tiles;      /* of rows */
  size_t least_rows, longer; /* of a tile; the first `longer` tiles have one more */
  size_t row_groups; /* of tiles, whose inputs stay in the second-level cache */
  size_t blocks;     /* stored blocks of all segments */
  size_t row_parts, block_parts; /* a task is a part of the groups times a part of the blocks */
} plan;

/* Every thread gets enough tasks, and little of a round is left empty. */
static bool is_shared_well(const plan *p, size_t threads) {
  const size_t tasks = p->row_parts * p->block_parts, rounds = divide_up(tasks, threads);
  return tasks >= TASKS_PER_THREAD * threads && (rounds * threads - tasks) * 32 <= tasks;
}

static plan make_plan(const pith_gemm_f32_code *code, const pith_gemm_f32_args *a, size_t threads) {
  plan p = {0};
  for (size_t s = 0; s < a->segment_count; ++s)
    p.blocks += divide_up(a->segments[s].n, PITH_GEMM_BLOCK);
  if (!a->rows || !p.blocks)
    return p;
  p.tiles = divide_up(a->rows, code->tile_rows);
  p.least_rows = a->rows / p.tiles;
  p.longer = a->rows % p.tiles;
  const size_t rows = min_size(MAX_TASK_ROWS, MAX_TASK_INPUTS / (a->k ? a->k : 1));
  p.row_groups = divide_up(p.tiles, rows < code->tile_rows ? 1 : rows / code->tile_rows);
  p.row_parts = p.block_parts = 1;
  if (is_repacked(a)) { /* in as few tasks as possible: each repacks its blocks */
    if (threads > 1)
      for (p.block_parts = p.blocks; p.row_parts < p.row_groups && !is_shared_well(&p, threads);)
        ++p.row_parts;
    return p;
  }
  p.row_parts = p.row_groups;
  if (threads > 1)
    while (p.block_parts < p.blocks && !is_shared_well(&p, threads))
      ++p.block_parts;
  return p;
}

/* Asked for at each tile, so it divides nothing. */
static size_t tile_start(const plan *p, size_t tile) {
  return p->least_rows * tile + min_size(tile, p->longer);
}

size_t pith_gemm_f32_blocked_count_tasks(const pith_gemm_f32_code *code, const void *args, size_t threads) {
  const plan p = make_plan(code, args, threads);
  return p.row_parts * p.block_parts;
}

enum { TILE_BYTES = PITH_GEMM_MAX_ROWS * PITH_GEMM_BLOCK * (int)sizeof(float) };

static size_t chunk_count(size_t k) {
  return k ? divide_up(k, MAX_CHUNK) : 1;
}

size_t pith_gemm_f32_blocked_get_scratch_bytes(const void *args) {
  const pith_gemm_f32_args *a = args;
  return TILE_BYTES + (is_repacked(a) ? min_size(a->k, MAX_CHUNK) * PITH_GEMM_BLOCK * sizeof(float) : 0);
}

/* One stored block, as found from its number among all segments' blocks. */
typedef struct block {
  const pith_gemm_f32_segment *segment;
  size_t n0;      /* its first output */
  size_t columns; /* outputs that exist */
  size_t width;   /* stored */
} block;

static block find_block(const pith_gemm_f32_args *a, size_t index) {
  const pith_gemm_f32_segment *s = a->segments;
  for (size_t count; index >= (count = divide_up(s->n, PITH_GEMM_BLOCK)); ++s)
    index -= count;
  const size_t n0 = index * PITH_GEMM_BLOCK;
  return (block){s, n0, min_size(s->n - n0, PITH_GEMM_BLOCK), pith_gemm_f32_block_width(s->n, n0)};
}

/* Where a stored block's row k lies. */
static const float *block_weights(const block *b, size_t total_k, size_t k) {
  return b->segment->w + b->n0 * total_k + k * b->width;
}

/* Everything that stays the same over the tiles of one block and chunk. */
typedef struct walk {
  const pith_gemm_f32_code *code;
  const pith_gemm_f32_args *args;
  const plan *plan;
  size_t first_tile, last_tile; /* of the task */
  size_t k0, k;
  bool first_chunk, last_chunk;
  bool bring_x; /* it is not in the second-level cache */
  size_t panel;   /* outputs of a tile */
  float *c; /* scratch of one tile */
} walk;

static void copy_rows(size_t rows, size_t columns, const float *from, size_t from_stride, float *to, size_t to_stride) {
  for (size_t i = 0; i < rows; ++i)
    memcpy(to + i * to_stride, from + i * from_stride, columns * sizeof *to);
}

/* Whole tiles begin and end in y; those with columns that do not exist, and those with an activation to come, in scratch. */
static void run_tile(const walk *v, const block *b, size_t row, size_t rows, size_t column, size_t width,
                     pith_gemm_f32_tile *tile) {
  const pith_gemm_f32_args *a = v->args;
  const pith_gemm_f32_segment *s = b->segment;
  float *y = s->y + row * s->y_stride + b->n0 + column;
  const size_t columns = min_size(width, b->columns - column);
  const float *bias = s->bias ? s->bias + b->n0 + column : NULL;
  const float *residual = a->residual ? a->residual + row * a->residual_stride + b->n0 + column : NULL;
  const bool whole = columns == width, direct = whole && (!v->last_chunk || a->activation == PITH_ACTIVATION_NONE);
  tile->x = a->x + row * a->x_stride + v->k0;
  tile->in = v->first_chunk ? NULL : whole ? y : v->c;
  tile->in_stride = whole ? s->y_stride : PITH_GEMM_BLOCK;
  tile->out = direct ? y : v->c;
  tile->out_stride = direct ? s->y_stride : PITH_GEMM_BLOCK;
  tile->bias = direct && v->last_chunk ? bias : NULL;
  tile->residual = direct && v->last_chunk ? residual : NULL;
  tile->residual_stride = a->residual_stride;
  if (!v->first_chunk && !whole)
    copy_rows(rows, columns, y, s->y_stride, v->c, PITH_GEMM_BLOCK);
  for (size_t i = 0; i < rows; ++i) /* as a rule nobody has written there for long */
    for (size_t j = 0; j < columns; j += PITH_GEMM_LINE_BYTES / sizeof(float))
      __builtin_prefetch(y + i * s->y_stride + j, 1);
  if (residual && v->last_chunk) /* often written by another core, or long ago */
    for (size_t i = 0; i < rows; ++i)
      for (size_t j = 0; j < columns; j += PITH_GEMM_LINE_BYTES / sizeof(float))
        __builtin_prefetch(residual + i * a->residual_stride + j);
  v->code->multiply(rows, width, tile);
  if (direct)
    return;
  if (!v->last_chunk) {
    copy_rows(rows, columns, v->c, PITH_GEMM_BLOCK, y, s->y_stride);
    return;
  }
  const pith_gemm_f32_finish finish = {
      .c = v->c,
      .columns = columns,
      .bias = bias,
      .activation = a->activation,
      .residual = residual,
      .residual_stride = a->residual_stride,
      .y = y,
      .y_stride = s->y_stride,
  };
  v->code->finish(rows, &finish);
}

/* The inputs of the tile after `t`. */
static void find_next_inputs(const walk *v, size_t t, pith_gemm_f32_tile *tile) {
  const pith_gemm_f32_args *a = v->args;
  size_t k0 = v->k0;
  if (++t == v->last_tile) {
    if (v->last_chunk)
      return;
    t = v->first_tile;
    k0 += v->k;
  }
  const size_t row = tile_start(v->plan, t);
  tile->next_x = a->x + row * a->x_stride + k0;
  tile->next_rows = tile_start(v->plan, t + 1) - row;
}

/* What lies behind the current block: prefetched while that is computed. Stored blocks are one row; what will be repacked has many,
 * and its rows are fetched a few lines before each tile. */
typedef struct span {
  const char *first;
  size_t bytes; /* of a row */
  size_t rows, stride; /* bytes from row to row */
} span;

/* Where fetching stands. */
typedef struct fetch {
  const char *row;
  size_t line, row_lines, rows_left;
} fetch;

static void fetch_lines(fetch *f, size_t stride, size_t count) {
  for (; count > 0 && f->rows_left > 0; --count) {
    __builtin_prefetch(f->row + f->line * PITH_GEMM_LINE_BYTES, 0, 2); /* into the second level */
    if (++f->line == f->row_lines) {
      f->line = 0;
      f->row += stride;
      --f->rows_left;
    }
  }
}

/* One group of rows. `w`: the block's chunk, in rows of b->width, or repacked in panels. */
static void run_block(const walk *v, const block *b, const float *w, bool repacked, size_t first_tile, size_t last_tile,
                      span next) {
  const size_t panel = v->panel;
  pith_gemm_f32_tile tile = {
      .x_stride = v->args->x_stride,
      .k = v->k,
  };
  const size_t row_lines = pith_gemm_f32_row_lines(v->k);
  const bool bring_x = v->bring_x && v->k >= 2 * PITH_GEMM_MAX_ROWS * row_lines; /* half or more is left for weights */
  const size_t least_k = bring_x ? v->k - PITH_GEMM_MAX_ROWS * row_lines : v->k; /* of a call, left for weights */
  const size_t calls = divide_up(b->width, panel) * (last_tile - first_tile);
  /* Each call takes a share, whole lines for each k; so the last calls may have nothing left. */
  const size_t lines = divide_up(divide_up(next.bytes, PITH_GEMM_LINE_BYTES) * next.rows, calls);
  const size_t step = v->k && next.rows == 1 ? divide_up(lines, least_k) * PITH_GEMM_LINE_BYTES : 0;
  size_t done_bytes = 0;
  fetch rows = {next.first, 0, divide_up(next.bytes, PITH_GEMM_LINE_BYTES), next.rows > 1 && next.bytes > 0 ? next.rows : 0};
  size_t row, next_row;
  for (size_t column = 0; column < b->width; column += panel) {
    const size_t width = min_size(panel, b->width - column);
    tile.w = repacked ? w + column * v->k : w + column;
    tile.w_stride = repacked ? width : b->width;
    row = tile_start(v->plan, first_tile);
    for (size_t t = first_tile; t < last_tile; ++t, row = next_row) {
      const bool more = step != 0 && done_bytes < next.bytes;
      next_row = tile_start(v->plan, t + 1);
      fetch_lines(&rows, next.stride, lines);
      tile.next = more ? next.first + done_bytes : (const char *)w;
      tile.next_step = more ? step : 0;
      tile.next_rows = 0;
      if (bring_x && column == 0)
        find_next_inputs(v, t, &tile);
      done_bytes += step * (v->k - tile.next_rows * row_lines);
      run_tile(v, b, row, next_row - row, column, width, &tile);
    }
  }
}

/* Where the block's weights lie from input k0 on, before they are repacked. */
static const float *find_weights(const block *b, size_t k0) {
  const pith_gemm_f32_segment *s = b->segment;
  return s->w + (s->form == PITH_GEMM_ROWS ? b->n0 * s->w_stride + k0 : k0 * s->w_stride + b->n0);
}

/* The block `index` from input k0 on. */
static span block_span(const pith_gemm_f32_args *a, size_t index, size_t k0, size_t k) {
  const block b = find_block(a, index);
  const bool in_rows = b.segment->form == PITH_GEMM_ROWS;
  if (b.segment->form == PITH_GEMM_BLOCKS)
    return (span){(const char *)block_weights(&b, a->k, k0), k * b.width * sizeof(float), 1, 0};
  return (span){.first = (const char *)find_weights(&b, k0),
                .bytes = (in_rows ? k : b.columns) * sizeof(float),
                .rows = in_rows ? b.columns : k,
                .stride = b.segment->w_stride * sizeof(float)};
}

static size_t chunk_start(const pith_gemm_f32_args *a, size_t chunk) {
  return part_start(a->k, chunk_count(a->k), chunk);
}

/* What this thread will likely read after block `index` of `chunk`. */
static span find_next(const pith_gemm_f32_args *a, const plan *p, size_t threads, size_t task, size_t chunk,
                      size_t index) {
  const size_t part = task / p->row_parts;
  if (++chunk == chunk_count(a->k)) {
    chunk = 0;
    if (++index == part_start(p->blocks, p->block_parts, part + 1)) {
      const size_t next_part = (task + threads) / p->row_parts;
      if (next_part >= p->block_parts)
        return (span){0};
      index = part_start(p->blocks, p->block_parts, next_part);
    }
  }
  const size_t k0 = chunk_start(a, chunk);
  return block_span(a, index, k0, chunk_start(a, chunk + 1) - k0);
}

void pith_gemm_f32_blocked_run(const pith_gemm_f32_code *code, const void *args, size_t threads, size_t task,
                               void *scratch) {
  const pith_gemm_f32_args *a = args;
  const plan p = make_plan(code, a, threads);
  const size_t row_part = task % p.row_parts, block_part = task / p.row_parts;
  const size_t first_block = part_start(p.blocks, p.block_parts, block_part);
  const size_t last_block = part_start(p.blocks, p.block_parts, block_part + 1);
  const size_t first_group = part_start(p.row_groups, p.row_parts, row_part);
  const size_t last_group = part_start(p.row_groups, p.row_parts, row_part + 1);
  walk v = {
      .code = code,
      .args = a,
      .plan = &p,
      .first_tile = part_start(p.tiles, p.row_groups, first_group),
      .last_tile = part_start(p.tiles, p.row_groups, last_group),
      .panel = a->rows <= code->wide_rows ? PITH_GEMM_BLOCK : code->panel,
      .c = scratch,
  };
  float *repacked = (float *)((char *)scratch + TILE_BYTES);
  const size_t chunks = chunk_count(a->k);
  for (size_t i = first_block; i < last_block; ++i) {
    const block b = find_block(a, i);
    v.bring_x = i == first_block || last_group - first_group > 1;
    for (size_t chunk = 0; chunk < chunks; ++chunk) {
      v.k0 = chunk_start(a, chunk);
      v.k = chunk_start(a, chunk + 1) - v.k0;
      v.first_chunk = chunk == 0;
      v.last_chunk = chunk + 1 == chunks;
      const float *w = repacked;
      const bool repacks = b.segment->form != PITH_GEMM_BLOCKS;
      if (repacks) {
        const pith_gemm_f32_repack repack = {
            .w = find_weights(&b, v.k0),
            .form = b.segment->form,
            .w_stride = b.segment->w_stride,
            .columns = b.columns,
            .width = b.width,
            .k = v.k,
            .panel = v.panel,
            .out = repacked,
        };
        code->repack(&repack);
      } else
        w = block_weights(&b, a->k, v.k0);
      for (size_t group = first_group; group < last_group; ++group)
        run_block(&v, &b, w, repacks, part_start(p.tiles, p.row_groups, group), part_start(p.tiles, p.row_groups, group + 1),
                  group + 1 == last_group ? find_next(a, &p, threads ? threads : 1, task, chunk, i) : (span){0});
    }
  }
}
