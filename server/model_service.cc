#include "server/model_service.h"

#include "absl/strings/str_cat.h"
#include "server/convert.h"
#include "server/page_token.h"
#include "server/to_proto.h"

namespace eidetic {
namespace {

constexpr char kParent[] = "models";  // of page tokens: models have no parent of their own

}  // namespace

absl::Status ModelServiceImpl::List(
    UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>* call) {
  const auto page_size = PageSize(call->request().page_size());
  if (!page_size.ok()) return page_size.status();
  const auto after = DecodePageToken(kParent, call->request().page_token());
  if (!after.ok()) return after.status();
  v1::ListModelsResponse response;
  if (*after < served_->name) *response.add_models() = ToProto(*served_);
  call->Reply(response);
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::Get(UnaryCall<v1::GetModelRequest, v1::Model>* call) {
  if (call->request().name().empty()) return InvalidField("name", "is empty; give models/{model}");
  if (call->request().name() != served_->name) {
    return absl::NotFoundError(absl::StrCat(
        "name: no such model is served; ListModels tells which are (", served_->name, ")"));
  }
  call->Reply(ToProto(*served_));
  return absl::OkStatus();
}

}  // namespace eidetic
