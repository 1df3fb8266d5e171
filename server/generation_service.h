// eidetic.v1.GenerationService over an Engine.
//
// What: each RPC is parse, submit, stream or reply; see rpc.h for why it takes bytes.
// Thread safety: thread-safe. Ownership: borrows the served model, which outlives the gRPC
//   server. Preconditions: none.
#ifndef EIDETIC_SERVER_GENERATION_SERVICE_H_
#define EIDETIC_SERVER_GENERATION_SERVICE_H_

#include <utility>

#include "eidetic/v1/generation_service.grpc.pb.h"
#include "server/generate_reactor.h"
#include "server/rpc.h"
#include "server/served_model.h"

namespace eidetic {

namespace generation_rpc {
using S = v1::GenerationService;
using Service = S::WithRawCallbackMethod_Generate<S::WithRawCallbackMethod_Score<
    S::WithRawCallbackMethod_Tokenize<S::WithRawCallbackMethod_Detokenize<S::Service>>>>;
}  // namespace generation_rpc

class GenerationServiceImpl final : public generation_rpc::Service {
 public:
  GenerationServiceImpl(const ServedModel* served, Streaming streaming)
      : served_(served), streaming_(std::move(streaming)) {}

  const Gate& gate() const { return *served_->gate; }

 private:
  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  absl::Status DoScore(UnaryCall<v1::ScoreRequest, v1::ScoreResponse>* call);
  absl::Status DoTokenize(UnaryCall<v1::TokenizeRequest, v1::TokenizeResponse>* call);
  absl::Status DoDetokenize(UnaryCall<v1::DetokenizeRequest, v1::DetokenizeResponse>* call);

  grpc::ServerWriteReactor<Bytes>* Generate(Context* context, const Bytes* in) override;
  grpc::ServerUnaryReactor* Score(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &GenerationServiceImpl::DoScore);
  }
  grpc::ServerUnaryReactor* Tokenize(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &GenerationServiceImpl::DoTokenize);
  }
  grpc::ServerUnaryReactor* Detokenize(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &GenerationServiceImpl::DoDetokenize);
  }

  const ServedModel* const served_;
  const Streaming streaming_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_GENERATION_SERVICE_H_
