// Prefill and decode speed of a model on the CPU backend, and what history costs.
//
//   model_bench --book FILE [--model DIR] [--history 131072] [--decode_tokens 32]
//
// Prints one `bench` line a measurement: name, figures with their units, ratios within
// this run. It asserts nothing: a time is a fact of the machine, not of the code.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "engine/text/tokenizer.h"
#include "glog/logging.h"
#include "tests/conformance/model_runner.h"

ABSL_FLAG(std::string, model, "engine/model/demo", "model folder");
ABSL_FLAG(std::string, book, "", "a text of at least --history tokens");
ABSL_FLAG(int32_t, history, 131072, "tokens of the long history");
ABSL_FLAG(int32_t, short_history, 4096, "tokens of the short history");
ABSL_FLAG(int32_t, decode_tokens, 96, "decode steps timed at each point");
ABSL_FLAG(int32_t, batch, 16, "sequences of the batched decode");
ABSL_FLAG(int32_t, candidate_budget, eidetic::memory::SpanSettings().candidate_budget,
          "blocks that the two-stage rule re-ranks at most");
ABSL_FLAG(bool, prefill_retrieval, true, "whether appended chunks retrieve");
ABSL_FLAG(int32_t, threads, 2, "threads of the backend");

namespace eidetic {
namespace {

using memory::AttentionPolicy;
using memory::SpanSettings;
using memory::TokenId;

// Steps of one session before the next takes its turn.
constexpr int32_t kTurn = 8;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

std::vector<TokenId> BookTokens(const std::string& folder, const std::string& path, size_t count) {
  auto tokenizer = Tokenizer::Load(folder);
  CHECK(tokenizer.ok()) << tokenizer.status();
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good()) << "--book: can not read " << path;
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto tokens = (*tokenizer)->Encode(text, /*parse_special=*/false);
  CHECK(tokens.ok()) << tokens.status();
  CHECK_GE(tokens->size(), count) << "--book: has " << tokens->size()
                                  << " tokens; give a longer one";
  tokens->resize(count);
  return *std::move(tokens);
}

// One point at which decoding is timed.
struct DecodePoint {
  const char* policy;
  TestSession session;
  std::vector<double> seconds = {};
  RetrievalStats retrieval = {};

  double step_seconds() const { return Median(seconds); }
};

// One greedy step.
void DecodeStep(ModelRunner* runner, DecodePoint* point) {
  TestSession* session = &point->session;
  const std::vector<float>& row = session->logits;
  session->log.AppendGenerated(
      static_cast<TokenId>(std::max_element(row.begin(), row.end()) - row.begin()));
  const double begin = Now();
  const RetrievalStats stats = runner->Step({&session, 1});
  point->seconds.push_back(Now() - begin);
  point->retrieval.candidates_read += stats.candidates_read;
  point->retrieval.choices += stats.choices;
  point->retrieval.proven += stats.proven;
  point->retrieval.seconds += stats.seconds;
}

void PrintDecode(const DecodePoint& point, int64_t history, int32_t steps) {
  const double choices = std::max<double>(1, point.retrieval.choices);
  std::printf(
      "bench name=decode policy=%s history_tokens=%lld step_ms=%.3f tokens_per_second=%.1f "
      "retrieval_ms_per_step=%.3f candidate_blocks_per_choice=%.1f share_proven=%.4f\n",
      point.policy, static_cast<long long>(history), point.step_seconds() * 1e3,
      1 / point.step_seconds(), point.retrieval.seconds * 1e3 / steps,
      point.retrieval.candidates_read / choices, point.retrieval.proven / choices);
  std::fflush(stdout);
}

void PrintPrefill(const char* policy, int32_t from, int32_t to, double seconds) {
  std::printf("bench name=prefill policy=%s from=%d to=%d seconds=%.3f tokens_per_second=%.1f\n",
              policy, from, to, seconds, (to - from) / seconds);
  std::fflush(stdout);
}

double Prefill(ModelRunner* runner, TestSession* session, std::span<const TokenId> tokens) {
  session->log.Append(tokens);
  const double begin = Now();
  runner->Drain(session);
  return Now() - begin;
}

void BenchBatchedDecode(ModelRunner* runner, const TestSession& parent, int32_t count,
                        int32_t steps) {
  std::vector<TestSession> sessions;
  std::vector<TestSession*> batch;
  for (int32_t i = 0; i < count; ++i) sessions.push_back(runner->Fork(parent));
  for (TestSession& session : sessions) batch.push_back(&session);
  std::vector<double> seconds;
  for (int32_t i = 0; i < steps; ++i) {
    for (TestSession* session : batch) session->log.AppendGenerated(100 + i);
    const double begin = Now();
    runner->Step(batch);
    seconds.push_back(Now() - begin);
  }
  std::printf(
      "bench name=decode_batch sequences=%d history_tokens=%lld step_ms=%.3f "
      "tokens_per_second=%.1f\n",
      count, static_cast<long long>(parent.log.size()), Median(seconds) * 1e3,
      count / Median(seconds));
}

void Run() {
  const int32_t history = absl::GetFlag(FLAGS_history);
  const int32_t short_history = absl::GetFlag(FLAGS_short_history);
  const int32_t steps = absl::GetFlag(FLAGS_decode_tokens);
  const std::string folder = absl::GetFlag(FLAGS_model);
  const std::vector<TokenId> book = BookTokens(folder, absl::GetFlag(FLAGS_book), history);
  ModelRunner runner(folder, {.threads = absl::GetFlag(FLAGS_threads), .max_pages = history / 4});
  SpanSettings full;
  full.policy = AttentionPolicy::kFull;

  SpanSettings settings;
  settings.candidate_budget = absl::GetFlag(FLAGS_candidate_budget);
  settings.first_candidates = std::min(settings.first_candidates, settings.candidate_budget);
  settings.retrieve_in_prefill = absl::GetFlag(FLAGS_prefill_retrieval);
  TestSession session = runner.NewSession(settings);
  const std::span<const TokenId> tokens(book);
  const double first = Prefill(&runner, &session, tokens.first(short_history));
  PrintPrefill("se_attn", 0, short_history, first);
  TestSession all_full = runner.NewSession(full);
  const double first_full = Prefill(&runner, &all_full, tokens.first(short_history));
  PrintPrefill("full", 0, short_history, first_full);
  DecodePoint short_se = {"se_attn", runner.Fork(session)};
  DecodePoint short_full = {"full", runner.Fork(session, full)};
  BenchBatchedDecode(&runner, session, absl::GetFlag(FLAGS_batch), steps);

  const double rest = Prefill(&runner, &session, tokens.subspan(short_history));
  PrintPrefill("se_attn", short_history, history, rest);
  DecodePoint long_full = {"full", runner.Fork(session, full)};
  DecodePoint long_se = {"se_attn", std::move(session)};
  // In turns, so that what else the machine does falls on both sides of each ratio.
  for (int32_t done = 0; done < steps; done += kTurn) {
    for (DecodePoint* point : {&short_se, &long_se, &short_full, &long_full}) {
      for (int32_t i = 0; i < kTurn; ++i) DecodeStep(&runner, point);
    }
  }
  const int32_t timed = static_cast<int32_t>(short_se.seconds.size());
  PrintDecode(short_se, short_history, timed);
  PrintDecode(short_full, short_history, timed);
  PrintDecode(long_se, history, timed);
  PrintDecode(long_full, history, timed);
  std::printf(
      "bench name=history_cost se_attn_ratio=%.3f full_ratio=%.3f history_tokens=%d "
      "against_tokens=%d\n",
      long_se.step_seconds() / short_se.step_seconds(),
      long_full.step_seconds() / short_full.step_seconds(), history, short_history);
}

}  // namespace
}  // namespace eidetic

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  eidetic::Run();
  return 0;
}
