// Matrix products with their norms and SwiGLUs, against the oracle.
//
// Tolerances: a chain of n roundings of relative size kEps is within n * kEps * (the same sum
// over absolute values), which the oracle computes too.
#include <cmath>

#include "engine/backend/backend_fixture.h"

namespace eidetic {
namespace {

enum class Norm { kNone, kPlain, kGated };

struct MatMulCase {
  const char* name;
  int64_t rows = 5, outputs = 1676, inputs = 384;
  DType dtype = DType::kBF16;
  bool bias = false;
  float multiplier = 1.0f;
  bool accumulate = false;  // then out is float32
  Norm norm = Norm::kNone;
  Number x_number = Number::kActivation;
  Number out_number = Number::kActivation;
  bool swiglu = false;
  int64_t gate_padding = 0;

  Number Out() const { return accumulate ? Number::kFloat32 : out_number; }
};

constexpr Number kFloat = Number::kFloat32;

const MatMulCase kCases[] = {
    {.name = "demo in_proj"},
    {.name = "demo down", .outputs = 384, .inputs = 1024},
    {.name = "demo head, one row", .rows = 1, .outputs = 6144, .out_number = kFloat},
    {.name = "bamba-9b k", .rows = 3, .outputs = 1024, .inputs = 4096},
    {.name = "two rows", .rows = 2},
    {.name = "four rows", .rows = 4},
    {.name = "a full tile", .rows = 12, .outputs = 96, .inputs = 64},
    {.name = "a tile and a row", .rows = 13, .outputs = 96, .inputs = 64},
    {.name = "a row block and a row", .rows = 97, .outputs = 96, .inputs = 64},
    {.name = "chunk", .rows = 512, .outputs = 40, .inputs = 64},
    {.name = "float32 weights", .dtype = DType::kF32},
    {.name = "fp16 weights", .dtype = DType::kF16},
    {.name = "bias", .bias = true},
    {.name = "multiplier", .multiplier = 0.22f},
    {.name = "float32 out", .bias = true, .multiplier = 0.22f, .out_number = kFloat},
    {.name = "accumulate", .bias = true, .multiplier = 0.22f, .accumulate = true},
    {.name = "one output", .outputs = 1},
    {.name = "one input", .inputs = 1},
    {.name = "one by one", .rows = 1, .outputs = 1, .inputs = 1, .accumulate = true},
    {.name = "panel less one", .outputs = 31, .inputs = 17, .dtype = DType::kF32, .bias = true},
    {.name = "panel and one", .outputs = 33, .inputs = 17, .bias = true, .accumulate = true},
    {.name = "half panel", .rows = 1, .outputs = 16, .inputs = 5},
    {.name = "mamba2attn-2.7b in_proj",
     .rows = 1,
     .outputs = 10576,
     .inputs = 2560,
     .norm = Norm::kPlain,
     .x_number = kFloat},
    {.name = "mamba2attn-2.7b out_proj",
     .rows = 2,
     .outputs = 2560,
     .inputs = 5120,
     .accumulate = true,
     .norm = Norm::kGated,
     .gate_padding = 5456},
    {.name = "mamba2attn-2.7b out_proj, one row",
     .rows = 1,
     .outputs = 2560,
     .inputs = 5120,
     .accumulate = true,
     .norm = Norm::kGated,
     .gate_padding = 5456},
    {.name = "large, one row, odd sizes", .rows = 1, .outputs = 5003, .inputs = 1000, .bias = true},
    {.name = "large SwiGLU, one row", .rows = 1, .outputs = 10602, .inputs = 424, .swiglu = true},
    {.name = "bamba-9b gate and up, narrower",
     .rows = 8,
     .outputs = 1024,
     .inputs = 4096,
     .norm = Norm::kPlain,
     .x_number = kFloat,
     .swiglu = true},
    {.name = "bamba-9b down, shorter",
     .rows = 16,
     .outputs = 512,
     .inputs = 3584,
     .accumulate = true},
    {.name = "norm, one row", .rows = 1, .norm = Norm::kPlain},
    {.name = "norm, float32 in and out",
     .norm = Norm::kPlain,
     .x_number = kFloat,
     .out_number = kFloat},
    {.name = "norm, odd sizes", .outputs = 33, .inputs = 17, .norm = Norm::kGated},
    {.name = "norm, 17 rows", .rows = 17, .norm = Norm::kPlain, .x_number = kFloat},
    {.name = "gated norm, 64 rows",
     .rows = 64,
     .outputs = 384,
     .inputs = 768,
     .accumulate = true,
     .norm = Norm::kGated,
     .gate_padding = 908},
    {.name = "norm and SwiGLU, 300 rows",
     .rows = 300,
     .outputs = 256,
     .inputs = 384,
     .norm = Norm::kPlain,
     .x_number = kFloat,
     .swiglu = true},
    {.name = "SwiGLU", .outputs = 2048, .swiglu = true},
    {.name = "SwiGLU, one row", .rows = 1, .outputs = 2048, .swiglu = true},
    {.name = "SwiGLU, 17 rows", .rows = 17, .outputs = 2048, .swiglu = true},
    {.name = "SwiGLU of one pair", .rows = 3, .outputs = 2, .inputs = 17, .swiglu = true},
};

struct Inputs {
  std::vector<float> w, x, gate, norm_weight, bias, out;
};

// float32 [rows, w.rows], with swiglu half as many columns.
std::vector<float> RunMatMul(const MatMulCase& c, const Inputs& in, OpRun& run) {
  const int64_t columns = c.swiglu ? c.outputs / 2 : c.outputs;
  MatMulParams params{.x = run.Numbers(c.x_number, in.x),
                      .w = run.Load(StoredTensor(in.w, {c.outputs, c.inputs}, c.dtype)),
                      .bias = c.bias ? run.Floats(in.bias) : nullptr,
                      .out = run.Numbers(c.Out(), in.out),
                      .out_number = c.Out(),
                      .rows = c.rows,
                      .multiplier = c.multiplier,
                      .accumulate = c.accumulate,
                      .swiglu = c.swiglu};
  params.x_number = c.x_number;
  if (c.norm != Norm::kNone) {
    params.norm = {.weight = run.Floats(in.norm_weight),
                   .gate = c.norm == Norm::kGated ? run.Activations(in.gate) : nullptr,
                   .gate_stride = c.inputs + c.gate_padding};
  }
  run->MatMul(params);
  return run.ReadNumbers(c.Out(), params.out, c.rows * columns);
}

class MatMulCases : public BackendCases {
 protected:
  void DrawWeights(const MatMulCase& c, Inputs* in) const {
    in->w = Stored(Random(c.outputs * c.inputs, 1));
  }
  void DrawInputs(const MatMulCase& c, uint64_t round, Inputs* in) const {
    const uint64_t seed = 100 * round;
    in->x = Random(c.rows * c.inputs, seed + 2);
    if (c.x_number == Number::kActivation) in->x = Stored(in->x);
    in->out = Random(c.rows * (c.swiglu ? c.outputs / 2 : c.outputs), seed + 3);
    in->bias = Random(c.outputs, seed + 4);
    in->gate = Stored(Random(c.rows * (c.inputs + c.gate_padding), seed + 5));
    in->norm_weight = Random(c.inputs, seed + 6);
  }

  // The norm alone, by the oracle.
  std::vector<float> Normed(const MatMulCase& c, const Inputs& in) {
    const int64_t gate_stride = c.inputs + c.gate_padding;
    void* out = oracle_.Zeros(c.rows * c.inputs);
    oracle_->RmsNorm({.x = oracle_.Floats(in.x),
                      .gate = c.norm == Norm::kGated ? oracle_.Floats(in.gate) : nullptr,
                      .weight = oracle_.Floats(in.norm_weight),
                      .out = out,
                      .rows = c.rows,
                      .dim = c.inputs,
                      .x_stride = c.inputs,
                      .gate_stride = gate_stride});
    return oracle_.ReadFloats(out, c.rows * c.inputs);
  }

  // Of a product's sum, in units of the sum of its terms' magnitudes.
  double SumError(const MatMulCase& c, const Inputs& in) const {
    // One rounding a step of the chain; bias, multiplier, sum and the oracle's own. Tensor cores
    // cut instead of rounding to nearest: an error of twice the size.
    double error = (tested_.bf16() ? 2 : 1) * static_cast<double>(c.inputs + 4) * kEps;
    if (c.norm == Norm::kNone) return error;
    // A normed input: the sum of squares (halved by the root), few more, and as an operand it is
    // rounded to the type of activations.
    error += (static_cast<double>(c.inputs) / 2 + 16) * kEps + Rounding();
    return c.norm == Norm::kGated ? error + SiluError(MaxAbs(in.gate)) : error;
  }

  std::vector<double> Tolerance(const MatMulCase& c, const Inputs& in,
                                const std::vector<float>& want) {
    // Magnitudes: of the normed input, since with |x| the norm would be another.
    MatMulCase plain = c;
    plain.norm = Norm::kNone;
    plain.x_number = Number::kActivation;
    plain.swiglu = false;
    Inputs normed = in;
    if (c.norm != Norm::kNone) normed.x = Normed(c, in);
    if (c.swiglu) normed.out = std::vector<float>(c.rows * c.outputs);
    Inputs absolute;
    absolute.w = Abs(in.w);
    absolute.x = Abs(normed.x);
    absolute.bias = Abs(in.bias);
    absolute.out = Abs(normed.out);
    const std::vector<double> sums = Relative(RunMatMul(plain, absolute, oracle_), SumError(c, in));
    if (!c.swiglu) {
      return c.Out() == Number::kFloat32 ? sums : AndRounded(sums, want, Rounding());
    }
    return AndRounded(SwiGluTolerance(c, RunMatMul(plain, normed, oracle_), sums), want,
                      Rounding());
  }

  // Of silu(g) * up, where each product may have been stored as an activation in between.
  std::vector<double> SwiGluTolerance(const MatMulCase& c, const std::vector<float>& products,
                                      const std::vector<double>& sums) const {
    const std::vector<double> errors = AndRounded(sums, products, Rounding());
    const double silu_error = 12 * kEps + SiluError(MaxAbs(products));
    std::vector<double> tolerance;
    for (int64_t row = 0; row < c.rows; ++row) {
      for (int64_t i = 0; i < c.outputs / 2; ++i) {
        const int64_t g = row * c.outputs + i, up = g + c.outputs / 2;
        const double gate = std::abs(double{products[g]}), other = std::abs(double{products[up]});
        // SiLU's slope is below 1.1, and |silu(g)| is at most |g|.
        tolerance.push_back(1.1 * errors[g] * (other + errors[up]) +
                            gate * (errors[up] + silu_error * other));
      }
    }
    return tolerance;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, MatMulCases, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

TEST_P(MatMulCases, MatMul) {
  for (const MatMulCase& c : kCases) {
    SCOPED_TRACE(c.name);
    Inputs in;
    DrawWeights(c, &in);
    EachRound(
        [&](uint64_t round) {
          DrawInputs(c, round, &in);
          return RunMatMul(c, in, tested_);
        },
        [&](uint64_t, const std::vector<float>& got) {
          const std::vector<float> want = RunMatMul(c, in, oracle_);
          ExpectWithin(c.name, got, want, Tolerance(c, in, want));
        });
    if (HasFatalFailure()) return;
  }
}

TEST_P(MatMulCases, LoadStackedEqualsItsPartsOneAfterTheOther) {
  for (const DType second : {DType::kBF16, DType::kF32}) {  // the latter widens the former
    const StoredTensor a(Random(40 * 24, 1), {40, 24}, DType::kBF16);
    const StoredTensor b(Random(9 * 24, 2), {9, 24}, second);
    const TensorView views[] = {a.view(), b.view()};
    auto stacked = tested_->LoadStacked(views);
    ASSERT_TRUE(stacked.ok());
    ASSERT_EQ((*stacked)->rows(), 49);
    const void* x = tested_.Activations(Random(24, 3));
    void* whole = tested_.ActivationZeros(49);
    void* first = tested_.ActivationZeros(40);
    void* rest = tested_.ActivationZeros(9);
    tested_->MatMul({.x = x, .w = stacked->get(), .out = whole, .rows = 1});
    tested_->MatMul({.x = x, .w = tested_.Load(a), .out = first, .rows = 1});
    tested_->MatMul({.x = x, .w = tested_.Load(b), .out = rest, .rows = 1});
    std::vector<float> parts = tested_.ReadActivations(first, 40);
    for (float value : tested_.ReadActivations(rest, 9)) parts.push_back(value);
    EXPECT_EQ(tested_.ReadActivations(whole, 49), parts);
  }
}

TEST_P(MatMulCases, LoadRefusesWhatIsNoMatrix) {
  const StoredTensor matrix(Random(24, 1), {4, 6}, DType::kF32);
  const StoredTensor cube(Random(24, 1), {2, 2, 6}, DType::kF32);
  const StoredTensor narrow(Random(20, 1), {4, 5}, DType::kF32);
  StoredTensor torn = matrix;
  torn.bytes.pop_back();
  StoredTensor huge = matrix;
  huge.shape = {int64_t{1} << 40, int64_t{1} << 40};
  const TensorView differing[] = {matrix.view(), narrow.view()};
  EXPECT_EQ(tested_->LoadMatrix(cube.view()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tested_->LoadMatrix(torn.view()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tested_->LoadMatrix(huge.view()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tested_->LoadVector(torn.view()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tested_->LoadStacked(differing).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace eidetic
