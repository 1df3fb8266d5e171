// What the end-to-end tests ask for, and what they were told.
//
// Thread safety: pure functions, thread-safe beside each other. Ownership: values.
// Preconditions: none.
#ifndef EIDETIC_TESTS_END_TO_END_REQUESTS_H_
#define EIDETIC_TESTS_END_TO_END_REQUESTS_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "clients/cpp/client.h"

namespace eidetic::testing {

inline constexpr int kAll = std::numeric_limits<int>::max();

// Never ended by an end token, so that its length is known; no prompt when `prompt` is empty.
v1::GenerateRequest Greedy(const std::string& prompt, int max_tokens);
v1::GenerateRequest Sampled(const std::string& prompt, int max_tokens, uint64_t seed);

// What a stream told.
struct Answer {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;  // when they were asked for
  std::string text;
  std::optional<v1::GenerateStart> start;
  std::optional<v1::GenerateFinish> finish;
  absl::Status status;  // why it ended early
};
// Reads until the end, or until `deltas` tokens were told.
Answer Read(client::TokenStream& stream, int deltas = kAll);
Answer Read(client::TokenStream&& stream, int deltas = kAll);

// Appends token ids in one request; gives the session's new position.
absl::StatusOr<int64_t> AppendTokens(const std::shared_ptr<grpc::Channel>& channel,
                                     const std::string& session, const std::vector<int32_t>& ids,
                                     std::optional<int64_t> expected_position = std::nullopt);

// After a stream was left its writer goes at the next step: waits for that; false: it never went.
bool WaitUntilFree(client::Session& session);

// About `words` words, no two texts alike in more than their style.
std::string Prose(int words, int seed);

}  // namespace eidetic::testing

#endif  // EIDETIC_TESTS_END_TO_END_REQUESTS_H_
