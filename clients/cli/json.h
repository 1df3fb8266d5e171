// Messages of the contract as JSON, for --json.
//
// Thread safety: pure. Ownership: values. Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_JSON_H_
#define EIDETIC_CLIENTS_CLI_JSON_H_

#include <google/protobuf/message.h>

#include <string>

namespace eidetic::cli {

// One line without its end: the fields' names as in the .proto files, unset ones with
// their defaults, 64-bit integers as strings (proto3's JSON mapping).
std::string ToJson(const google::protobuf::Message& message);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_JSON_H_
