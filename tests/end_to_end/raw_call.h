// Calls without stubs: for bytes that no stub would send and services whose proto is not ours.
//
// Thread safety: thread-safe. Ownership: values. Preconditions: none.
#ifndef EIDETIC_TESTS_END_TO_END_RAW_CALL_H_
#define EIDETIC_TESTS_END_TO_END_RAW_CALL_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <map>
#include <memory>
#include <string>

namespace eidetic::testing {

// Sends one message and takes at most one; of a stream it tells how it failed. `answer` may be
// null.
grpc::Status RawCall(const std::shared_ptr<grpc::Channel>& channel, const char* method,
                     const std::string& request, std::string* answer = nullptr,
                     const std::map<std::string, std::string>& headers = {});

}  // namespace eidetic::testing

#endif  // EIDETIC_TESTS_END_TO_END_RAW_CALL_H_
