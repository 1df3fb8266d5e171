#include "server/digest.h"

#include <glog/logging.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/evp.h>

#include <memory>

namespace eidetic {

std::string Sha256(std::string_view bytes) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                   &size, EVP_sha256(), nullptr) == 1);
  digest.resize(size);
  return digest;
}

std::string Fingerprint(const google::protobuf::Message& request) {
  const std::unique_ptr<google::protobuf::Message> body(request.New());
  body->CopyFrom(request);
  for (const char* name : {"request_id", "resume_from", "max_message_tokens"}) {
    const auto* field = body->GetDescriptor()->FindFieldByName(name);
    if (field != nullptr) body->GetReflection()->ClearField(body.get(), field);
  }
  std::string bytes = body->GetDescriptor()->full_name();
  bytes.push_back('\0');
  {
    google::protobuf::io::StringOutputStream sink(&bytes);
    google::protobuf::io::CodedOutputStream out(&sink);
    out.SetSerializationDeterministic(true);  // maps in the order of their keys
    CHECK(body->SerializeToCodedStream(&out));
  }
  return Sha256(bytes);
}

}  // namespace eidetic
