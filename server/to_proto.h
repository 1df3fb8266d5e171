// What the engine tells -> messages of the contract.
//
// Thread safety: pure functions over an immutable tokenizer. Ownership: values out.
// Preconditions: values come from the engine.
#ifndef EIDETIC_SERVER_TO_PROTO_H_
#define EIDETIC_SERVER_TO_PROTO_H_

#include <span>

#include "eidetic/v1/generation_service.pb.h"
#include "eidetic/v1/model_service.pb.h"
#include "eidetic/v1/session_service.pb.h"
#include "engine/engine.h"
#include "server/served_model.h"

namespace eidetic {

v1::Model ToProto(const ServedModel& served);
v1::Adapter ToProto(const AdapterInfo& info);
v1::Snapshot ToProto(const SnapshotInfo& info);
v1::Session ToProto(const SessionInfo& info, const ServedModel& served);
v1::LogprobEntry ToProto(const SampledToken& token, const Tokenizer& tokenizer);
v1::ScoreResponse ToProto(std::span<const SampledToken> scored, const Tokenizer& tokenizer);
v1::SearchMemoryResponse ToProto(const Engine::SearchResult& result, int32_t block_tokens);

v1::GenerateStart ToProto(const GenerationStart& start);
// `logprobs`: the request asked for log-probabilities.
v1::TokenDelta ToProto(const TokenEvent& event, bool logprobs, const Tokenizer& tokenizer);
v1::GenerateFinish ToProto(const GenerationFinish& finish);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_TO_PROTO_H_
