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

absl::Status ModelServiceImpl::Load(UnaryCall<v1::LoadAdapterRequest, v1::Adapter>* call) {
  const v1::LoadAdapterRequest& request = call->request();
  auto tenant = SessionName::ParseTenant(request.parent(), "parent");
  if (!tenant.ok()) return tenant.status();
  if (!SessionName::IsSegment(request.adapter_id())) {
    return InvalidField("adapter_id",
                        "must be a lower-case letter, then letters, digits and '-', at most 63 "
                        "characters");
  }
  const std::string& folder = request.folder().empty() ? request.adapter_id() : request.folder();
  served_->engine->LoadAdapter({*std::move(tenant), request.adapter_id()}, folder,
                               [call](const absl::StatusOr<AdapterInfo>& info) {
                                 if (!info.ok()) return call->Reply(info.status());
                                 call->Reply(ToProto(*info));
                               });
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::Unload(
    UnaryCall<v1::UnloadAdapterRequest, google::protobuf::Empty>* call) {
  auto name = AdapterName::Parse(call->request().name(), "name");
  if (!name.ok()) return name.status();
  served_->engine->UnloadAdapter(*std::move(name), [call](const absl::Status& status) {
    if (!status.ok()) return call->Reply(status);
    call->Reply(google::protobuf::Empty());
  });
  return absl::OkStatus();
}

absl::Status ModelServiceImpl::ListAll(
    UnaryCall<v1::ListAdaptersRequest, v1::ListAdaptersResponse>* call) {
  const v1::ListAdaptersRequest& request = call->request();
  auto tenant = SessionName::ParseTenant(request.parent(), "parent");
  if (!tenant.ok()) return tenant.status();
  const auto page_size = PageSize(request.page_size());
  if (!page_size.ok()) return page_size.status();
  auto after = DecodePageToken(request.parent() + "/adapters", request.page_token());
  if (!after.ok()) return after.status();
  const size_t size = *page_size;
  auto reply = [call, size](const absl::StatusOr<std::vector<AdapterInfo>>& adapters) {
    if (!adapters.ok()) return call->Reply(adapters.status());
    v1::ListAdaptersResponse response;
    for (size_t i = 0; i < adapters->size() && i < size; ++i) {
      *response.add_adapters() = ToProto((*adapters)[i]);
    }
    if (adapters->size() > size) {
      response.set_next_page_token(EncodePageToken(call->request().parent() + "/adapters",
                                                   (*adapters)[size - 1].name.adapter));
    }
    call->Reply(response);
  };
  // One more than the page, to learn whether there is another page.
  served_->engine->ListAdapters(*std::move(tenant), *std::move(after), *page_size + 1,
                                std::move(reply));
  return absl::OkStatus();
}

}  // namespace eidetic
