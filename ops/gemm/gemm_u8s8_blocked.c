#include "ops/gemm/gemm_u8s8_blocked.h"

#include <float.h>

enum {
  /* Bytes of x in a task, at most: with two panels of weights (96 KiB at 768 inputs) in a second-level cache of 1 MiB. */
  MAX_TASK_BYTES = 384 * 1024,
  /* Floats of whole rows that wait for their scale. */
  MAX_WAITING = 96 * 1024,
  /* Groups that a tile which has the panel for itself prefetches ahead of its own sums: 1.5 KiB of each block. */
  OWN_DISTANCE = 24,
  TASKS_PER_THREAD = 4, /* at least, where there is that much to share out: threads may differ in speed */
  TILE_BYTES = PITH_GEMM_U8S8_MAX_ROWS * PITH_GEMM_U8S8_PANEL * (int)sizeof(int32_t),
  PANEL_BLOCKS = PITH_GEMM_U8S8_PANEL / PITH_GEMM_U8S8_BLOCK,
};

static size_t divide_up(size_t a, size_t b) {
  return (a + b - 1) / b;
}

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

static float min_float(float a, float b) {
  return a < b ? a : b;
}

/* The i-th boundary of `parts` nearly equal parts of `total`. */
static size_t part_start(size_t total, size_t parts, size_t i) {
  return total / parts * i + min_size(i, total % parts);
}

typedef struct plan {
  size_t tiles;      /* of rows */
  size_t row_groups; /* groups of tiles */
  size_t panels;     /* of all segments */
  size_t panel_groups;
} plan;

/* Bytes of a row as tiles read it. */
static size_t row_bytes(const pith_gemm_u8s8_code *code, const pith_gemm_u8s8_args *a) {
  return code->widen ? pith_gemm_u8s8_groups(a->k) * PITH_GEMM_U8S8_GROUP * sizeof(int16_t) : a->k;
}

/* Tiles of a task at most. */
static size_t count_task_tiles(const pith_gemm_u8s8_code *code, const pith_gemm_u8s8_args *a) {
  const size_t bytes = row_bytes(code, a);
  size_t rows = MAX_TASK_BYTES / (bytes ? bytes : 1);
  if (a->q_per_row && a->segments[0].n > 0)
    rows = min_size(rows, MAX_WAITING / a->segments[0].n);
  return rows > code->tile_rows ? rows / code->tile_rows : 1;
}

static plan make_plan(const pith_gemm_u8s8_code *code, const pith_gemm_u8s8_args *a, size_t threads) {
  plan p = {0};
  for (size_t s = 0; s < a->segment_count; ++s)
    p.panels += divide_up(a->segments[s].n, PITH_GEMM_U8S8_PANEL);
  if (!a->rows || !p.panels)
    return p;
  p.tiles = divide_up(a->rows, code->tile_rows);
  p.row_groups = divide_up(p.tiles, count_task_tiles(code, a));
  p.panel_groups = 1;
  if (threads <= 1)
    return p;
  if (a->q_per_row) {
    p.row_groups = min_size(p.tiles, divide_up(p.row_groups, threads) * threads);
    return p;
  }
  /* The fewest groups of panels that give every thread enough tasks and leave little of a round empty. */
  for (; p.panel_groups < p.panels; ++p.panel_groups) {
    const size_t tasks = p.row_groups * p.panel_groups;
    const size_t rounds = divide_up(tasks, threads);
    if (tasks >= TASKS_PER_THREAD * threads && (rounds * threads - tasks) * 32 <= tasks)
      break;
  }
  return p;
}

size_t pith_gemm_u8s8_blocked_count_tasks(const pith_gemm_u8s8_code *code, const void *args, size_t threads) {
  const plan p = make_plan(code, args, threads);
  return p.row_groups * p.panel_groups;
}

static size_t widened_bytes(const pith_gemm_u8s8_code *code, const pith_gemm_u8s8_args *a, size_t rows) {
  return code->widen ? rows * row_bytes(code, a) : 0;
}

size_t pith_gemm_u8s8_blocked_get_scratch_bytes(const pith_gemm_u8s8_code *code, const void *args) {
  const pith_gemm_u8s8_args *a = args;
  const size_t rows = min_size(count_task_tiles(code, a) * code->tile_rows, a->rows);
  return TILE_BYTES + widened_bytes(code, a, rows) + (a->q_per_row ? rows * a->segments[0].n * sizeof(float) : 0);
}

/* A panel, as found from its number among all segments'. */
typedef struct panel {
  const pith_gemm_u8s8_segment *segment;
  size_t n0;      /* its first output */
  size_t columns; /* outputs that exist */
  const int8_t *w;
} panel;

static panel find_panel(const pith_gemm_u8s8_args *a, size_t index) {
  const pith_gemm_u8s8_segment *s = a->segments;
  for (size_t count; index >= (count = divide_up(s->n, PITH_GEMM_U8S8_PANEL)); ++s)
    index -= count;
  return (panel){
      .segment = s,
      .n0 = index * PITH_GEMM_U8S8_PANEL,
      .columns = min_size(s->n - index * PITH_GEMM_U8S8_PANEL, PITH_GEMM_U8S8_PANEL),
      .w = s->w + index * PANEL_BLOCKS * pith_gemm_u8s8_block_bytes(a->k),
  };
}

/* Everything that stays the same over the panels of a task. */
typedef struct walk {
  const pith_gemm_u8s8_code *code;
  const pith_gemm_u8s8_args *args;
  const plan *plan;
  size_t first_tile, last_tile, first_row;
  size_t short_rows, long_tiles; /* rows of a tile, but for one more in the first so many of all */
  int32_t *sums;    /* scratch of one tile */
  uint8_t *widened; /* the task's rows, or NULL */
  float *waiting; /* whole rows from the task's first on, to be quantized together; or NULL */
} walk;

static pith_gemm_u8s8_kind find_kind(const pith_gemm_u8s8_args *a, const pith_gemm_u8s8_segment *s, bool waits) {
  const bool y = s->y || waits, q = s->q.q && !waits, gelu = a->activation == PITH_ACTIVATION_GELU;
  if (y == q || (!gelu && a->activation != PITH_ACTIVATION_NONE))
    return PITH_GEMM_U8S8_OTHER;
  if (a->residual)
    return y && !gelu ? PITH_GEMM_U8S8_RESIDUAL : PITH_GEMM_U8S8_OTHER;
  if (q)
    return gelu ? PITH_GEMM_U8S8_GELU_Q : PITH_GEMM_U8S8_Q;
  return !gelu ? PITH_GEMM_U8S8_F32 : !s->y ? PITH_GEMM_U8S8_GELU_Y : PITH_GEMM_U8S8_OTHER;
}

/* What finishing the panel takes, but for the rows. */
static pith_gemm_u8s8_finish make_finish(const walk *v, const panel *p) {
  static const float no_bias[PITH_GEMM_U8S8_PANEL] = {0};
  const pith_gemm_u8s8_args *a = v->args;
  const pith_gemm_u8s8_segment *s = p->segment;
  pith_gemm_u8s8_finish f = {
      .kind = find_kind(a, s, v->waiting),
      .sums = v->sums,
      .columns = p->columns,
      .x_scale_step = a->x_per_row,
      .w_scale = s->w_scale + p->n0,
      .bias = s->bias ? s->bias + p->n0 : no_bias,
      .activation = a->activation,
      .for_8bit = !s->y, /* or waits in scratch for its row's scale */
      .residual_stride = a->residual_stride,
      .y_stride = v->waiting && !s->y ? s->n : s->y_stride,
  };
  if (s->q.q && !v->waiting) {
    f.q_stride = s->q.stride;
    f.q_type = s->q.type;
    f.q_inverse = min_float(1.0f / s->q.scale[0], FLT_MAX); /* quantizer_make's */
    f.q_zero = s->q.zero ? s->q.zero[0] : 0;
  }
  return f;
}

static void aim_finish(const walk *v, const panel *p, size_t row, size_t rows, pith_gemm_u8s8_finish *f) {
  const pith_gemm_u8s8_args *a = v->args;
  const pith_gemm_u8s8_segment *s = p->segment;
  f->rows = rows;
  f->x_scale = a->x_scale + row * f->x_scale_step;
  f->residual = a->residual ? a->residual + row * a->residual_stride + p->n0 : NULL;
  if (s->y)
    f->y = s->y + row * s->y_stride + p->n0;
  else if (v->waiting)
    f->y = v->waiting + (row - v->first_row) * s->n + p->n0;
  if (s->q.q && !v->waiting)
    f->q = (uint8_t *)s->q.q + row * s->q.stride + p->n0;
}

static void aim_tile(const walk *v, const pith_gemm_u8s8_finish *f, size_t row, pith_gemm_u8s8_tile *tile) {
  const pith_gemm_u8s8_args *a = v->args;
  tile->x = v->widened ? v->widened + (row - v->first_row) * tile->x_stride : a->x + row * a->x_stride;
  for (size_t r = 0; tile->zero_per_row && r < f->rows; ++r)
    tile->minus_zero[r] = -(int32_t)a->x_zero[row + r];
  tile->out = f->y ? (const char *)f->y : (const char *)f->q;
  tile->out_stride = f->y ? f->y_stride * sizeof(float) : f->q_stride;
  tile->residual = f->residual ? (const char *)f->residual : tile->out;
  tile->residual_stride = f->residual ? f->residual_stride * sizeof(float) : tile->out_stride;
}

/* Groups of the next panel that are still to prefetch: of code->vectors of its blocks each. */
typedef struct ahead {
  const char *at;
  size_t groups;
} ahead;

/* The tile's share of them. A single tile would ask for every line twice, now and for the next panel, and is bound by just
 * that: it prefetches its own weights, a little ahead. */
static void take_ahead(ahead *next, size_t share, pith_gemm_u8s8_tile *tile) {
  if (share == 0) {
    tile->next = (const char *)tile->w + OWN_DISTANCE * PITH_GEMM_U8S8_GROUP_BYTES;
    tile->fetch_groups = tile->groups;
    return;
  }
  tile->next = next->at;
  tile->fetch_groups = min_size(min_size(next->groups, share), tile->groups);
  next->at += tile->fetch_groups * PITH_GEMM_U8S8_GROUP_BYTES;
  next->groups -= tile->fetch_groups;
}

/* Tiles of one panel; *pending is what is still to finish, before and after. */
static void run_panel(const walk *v, const panel *p, ahead next, pith_gemm_u8s8_finish *pending) {
  const pith_gemm_u8s8_args *a = v->args;
  const pith_gemm_u8s8_code *code = v->code;
  const size_t groups = pith_gemm_u8s8_groups(a->k), blocks = divide_up(p->columns, PITH_GEMM_U8S8_BLOCK);
  const size_t tiles = v->last_tile - v->first_tile;
  const size_t share = tiles == 1 ? 0 : divide_up(groups + 1, tiles);
  pith_gemm_u8s8_finish finish = make_finish(v, p);
  pith_gemm_u8s8_tile tile = {
      .x_stride = v->widened ? row_bytes(code, a) : a->x_stride,
      .block_bytes = pith_gemm_u8s8_block_bytes(a->k),
      .groups = v->widened ? groups : a->k / PITH_GEMM_U8S8_GROUP,
      .rest = v->widened ? 0 : a->k % PITH_GEMM_U8S8_GROUP,
      .minus_zero = {a->x_per_row ? 0 : -(int32_t)a->x_zero[0]},
      .zero_per_row = a->x_per_row,
  };
  size_t row = v->first_row;
  for (size_t i = v->first_tile; i < v->last_tile; ++i) {
    const size_t rows = v->short_rows + (i < v->long_tiles);
    aim_finish(v, p, row, rows, &finish);
    aim_tile(v, &finish, row, &tile);
    row += rows;
    size_t block = 0;
    if (code->multiply_and_finish && p->columns == PITH_GEMM_U8S8_PANEL && pending->columns == PITH_GEMM_U8S8_PANEL &&
        code->can_finish(rows, pending)) {
      tile.w = p->w;
      tile.sums = v->sums;
      take_ahead(&next, share, &tile);
      code->multiply_and_finish(rows, &tile, pending);
      block = blocks;
    } else if (pending->rows > 0)
      code->finish(pending);
    for (; block < blocks; block += code->vectors) {
      tile.w = p->w + block * tile.block_bytes;
      tile.sums = v->sums + block * PITH_GEMM_U8S8_BLOCK;
      take_ahead(&next, share, &tile);
      code->multiply(rows, min_size(code->vectors, blocks - block), &tile);
    }
    *pending = finish;
  }
}

void pith_gemm_u8s8_blocked_run(const pith_gemm_u8s8_code *code, const void *args, size_t threads, size_t task,
                                void *scratch) {
  const pith_gemm_u8s8_args *a = args;
  const plan p = make_plan(code, a, threads);
  const size_t row_group = task % p.row_groups, panel_group = task / p.row_groups;
  const size_t last = part_start(p.panels, p.panel_groups, panel_group + 1);
  const size_t first_tile = part_start(p.tiles, p.row_groups, row_group);
  const size_t last_tile = part_start(p.tiles, p.row_groups, row_group + 1);
  const size_t first_row = part_start(a->rows, p.tiles, first_tile), end_row = part_start(a->rows, p.tiles, last_tile);
  uint8_t *widened = (uint8_t *)scratch + TILE_BYTES, *waiting = widened + widened_bytes(code, a, end_row - first_row);
  const walk v = {
      .code = code,
      .args = a,
      .plan = &p,
      .first_tile = first_tile,
      .last_tile = last_tile,
      .first_row = first_row,
      .short_rows = a->rows / p.tiles,
      .long_tiles = a->rows % p.tiles,
      .sums = scratch,
      .widened = code->widen ? widened : NULL,
      .waiting = a->q_per_row ? (float *)(void *)waiting : NULL,
  };
  for (size_t row = first_row; v.widened && row < end_row; ++row)
    code->widen(a->k, a->x + row * a->x_stride, widened + (row - first_row) * row_bytes(code, a));
  pith_gemm_u8s8_finish pending = {.rows = 0};
  for (size_t i = part_start(p.panels, p.panel_groups, panel_group); i < last; ++i) {
    const panel now = find_panel(a, i);
    ahead behind = {(const char *)now.w, 0};
    if (i + 1 < p.panels) {
      const panel next = find_panel(a, i + 1);
      const size_t blocks = divide_up(next.columns, PITH_GEMM_U8S8_BLOCK);
      behind = (ahead){(const char *)next.w, divide_up(blocks, code->vectors) * (pith_gemm_u8s8_groups(a->k) + 1)};
    }
    run_panel(&v, &now, behind, &pending);
  }
  if (pending.rows > 0)
    code->finish(&pending);
  if (v.waiting) {
    const pith_gemm_u8s8_segment *s = a->segments;
    for (size_t row = first_row; row < end_row; ++row)
      code->quantize_row(&s->q, row, s->y ? s->y + row * s->y_stride : v.waiting + (row - first_row) * s->n, s->n);
  }
}
