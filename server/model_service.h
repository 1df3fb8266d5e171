// eidetic.v1.ModelService: the one model that is served, and its adapters.
//
// Thread safety: thread-safe. Ownership: borrows the served model, which outlives the gRPC
// server. Preconditions: none.
#ifndef EIDETIC_SERVER_MODEL_SERVICE_H_
#define EIDETIC_SERVER_MODEL_SERVICE_H_

#include "eidetic/v1/model_service.grpc.pb.h"
#include "server/rpc.h"
#include "server/served_model.h"

namespace eidetic {

namespace model_rpc {
using S = v1::ModelService;
using Models = S::WithRawCallbackMethod_ListModels<S::WithRawCallbackMethod_GetModel<S::Service>>;
using Service = S::WithRawCallbackMethod_LoadAdapter<
    S::WithRawCallbackMethod_UnloadAdapter<S::WithRawCallbackMethod_ListAdapters<Models>>>;
}  // namespace model_rpc

class ModelServiceImpl final : public model_rpc::Service {
 public:
  explicit ModelServiceImpl(const ServedModel* served) : served_(served) {}

  const Gate& gate() const { return *served_->gate; }

 private:
  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  absl::Status List(UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>* call);
  absl::Status Get(UnaryCall<v1::GetModelRequest, v1::Model>* call);
  absl::Status Load(UnaryCall<v1::LoadAdapterRequest, v1::Adapter>* call);
  absl::Status Unload(UnaryCall<v1::UnloadAdapterRequest, google::protobuf::Empty>* call);
  absl::Status ListAll(UnaryCall<v1::ListAdaptersRequest, v1::ListAdaptersResponse>* call);

  grpc::ServerUnaryReactor* ListModels(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &ModelServiceImpl::List);
  }
  grpc::ServerUnaryReactor* GetModel(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &ModelServiceImpl::Get);
  }
  grpc::ServerUnaryReactor* LoadAdapter(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &ModelServiceImpl::Load);
  }
  grpc::ServerUnaryReactor* UnloadAdapter(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &ModelServiceImpl::Unload);
  }
  grpc::ServerUnaryReactor* ListAdapters(Context* context, const Bytes* in, Bytes* out) override {
    return ServeUnary(context, in, out, this, &ModelServiceImpl::ListAll);
  }

  const ServedModel* const served_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_MODEL_SERVICE_H_
