#include "clients/cli/json.h"

#include <google/protobuf/util/json_util.h>

namespace eidetic::cli {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  // Fails only for Any and Timestamp values out of range, which the server does not send;
  // an empty object then keeps the output well-formed.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) json = "{}";
  return json;
}

}  // namespace eidetic::cli
