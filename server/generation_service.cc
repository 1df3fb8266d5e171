#include "server/generation_service.h"

#include <utility>
#include <vector>

#include "server/content_tokens.h"
#include "server/convert.h"
#include "server/to_proto.h"

namespace eidetic {

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerationServiceImpl::Generate(Context* context,
                                                                            const Bytes* in) {
  return GenerateReactor::Start(context, *in, served_, streaming_);
}

absl::Status GenerationServiceImpl::DoScore(UnaryCall<v1::ScoreRequest, v1::ScoreResponse>* call) {
  auto spec = ToScoreSpec(call->request(), *served_);
  if (!spec.ok()) return spec.status();
  auto reply = [call, served = served_](const absl::StatusOr<std::vector<SampledToken>>& scored) {
    if (!scored.ok()) return call->Reply(scored.status());
    call->Reply(ToProto(*scored, served->engine->tokenizer()));
  };
  served_->engine->Score(std::move(spec->session), spec->settings, std::move(spec->tenant),
                         std::move(spec->tokens), spec->top_logprobs, call->cancelled(),
                         std::move(reply));
  return absl::OkStatus();
}

absl::Status GenerationServiceImpl::DoTokenize(
    UnaryCall<v1::TokenizeRequest, v1::TokenizeResponse>* call) {
  const absl::Status status = CheckModel(call->request().model(), "model", *served_);
  if (!status.ok()) return status;
  const auto tokens =
      ContentTokens(call->request().content(), "content", ContentUse::kAppend, *served_->engine);
  if (!tokens.ok()) return tokens.status();
  v1::TokenizeResponse response;
  response.mutable_ids()->Assign(tokens->begin(), tokens->end());
  call->Reply(response);
  return absl::OkStatus();
}

absl::Status GenerationServiceImpl::DoDetokenize(
    UnaryCall<v1::DetokenizeRequest, v1::DetokenizeResponse>* call) {
  const v1::DetokenizeRequest& request = call->request();
  absl::Status status = CheckModel(request.model(), "model", *served_);
  if (status.ok()) status = CheckTokenIds(request.ids(), "ids", *served_->engine);
  if (!status.ok()) return status;
  const std::vector<TokenId> ids(request.ids().begin(), request.ids().end());
  v1::DetokenizeResponse response;
  response.set_text(served_->engine->tokenizer().Decode(ids, request.skip_special()));
  call->Reply(response);
  return absl::OkStatus();
}

}  // namespace eidetic
