import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.spec.EdECPrivateKeySpec;
import java.security.spec.NamedParameterSpec;
import java.util.HexFormat;
import java.util.List;
import javax.xml.crypto.OctetStreamData;
import javax.xml.crypto.dsig.CanonicalizationMethod;
import javax.xml.crypto.dsig.DigestMethod;
import javax.xml.crypto.dsig.Reference;
import javax.xml.crypto.dsig.SignedInfo;
import javax.xml.crypto.dsig.Transform;
import javax.xml.crypto.dsig.TransformService;
import javax.xml.crypto.dsig.XMLSignatureFactory;
import javax.xml.crypto.dsig.dom.DOMSignContext;
import javax.xml.crypto.dsig.keyinfo.KeyInfoFactory;
import javax.xml.crypto.dsig.spec.C14NMethodParameterSpec;
import javax.xml.crypto.dsig.spec.TransformParameterSpec;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;
import org.w3c.dom.Document;

/**
 * Signs envelope.in.xml as an integrator would: with the JDK's XMLSignatureFactory, which knows Ed25519 since JDK 21.
 *
 * Without ignoreLineBreaks the JDK breaks SignatureValue into two lines, which the profile refuses. Run by hand:
 * java -Dcom.sun.org.apache.xml.internal.security.ignoreLineBreaks=true Sign.java
 */
public class Sign {
    static final String SEED = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    static final String ED25519 = "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519";

    public static void main(String[] arguments) throws Exception {
        Files.write(Path.of("envelope.xmlsignaturefactory-prefixed.signed.xml"), signed("ds"));
        Files.write(Path.of("envelope.xmlsignaturefactory-unprefixed.signed.xml"), signed(null));
    }

    static byte[] signed(String prefix) throws Exception {
        DocumentBuilderFactory parsers = DocumentBuilderFactory.newInstance();
        parsers.setNamespaceAware(true);
        Document document = parsers.newDocumentBuilder().parse(new File("envelope.in.xml"));
        PrivateKey key = KeyFactory.getInstance("Ed25519").generatePrivate(
                new EdECPrivateKeySpec(NamedParameterSpec.ED25519, HexFormat.of().parseHex(SEED)));
        DOMSignContext context = new DOMSignContext(key, document.getDocumentElement());
        if (prefix != null) {
            context.setDefaultNamespacePrefix(prefix);
        }
        XMLSignatureFactory signatures = XMLSignatureFactory.getInstance("DOM");
        KeyInfoFactory keys = signatures.getKeyInfoFactory();
        signatures.newXMLSignature(signedInfo(signatures), keys.newKeyInfo(List.of(keys.newKeyName("jdk")))).sign(context);
        return canonical(document);
    }

    static SignedInfo signedInfo(XMLSignatureFactory signatures) throws Exception {
        Reference reference = signatures.newReference(
                "",
                signatures.newDigestMethod(DigestMethod.SHA256, null),
                List.of(
                        signatures.newTransform(Transform.ENVELOPED, (TransformParameterSpec) null),
                        signatures.newTransform(CanonicalizationMethod.EXCLUSIVE, (TransformParameterSpec) null)),
                null,
                null);
        return signatures.newSignedInfo(
                signatures.newCanonicalizationMethod(CanonicalizationMethod.EXCLUSIVE, (C14NMethodParameterSpec) null),
                signatures.newSignatureMethod(ED25519, null),
                List.of(reference));
    }

    static byte[] canonical(Document document) throws Exception {
        ByteArrayOutputStream written = new ByteArrayOutputStream();
        TransformerFactory.newInstance().newTransformer().transform(new DOMSource(document), new StreamResult(written));
        TransformService c14n = TransformService.getInstance(CanonicalizationMethod.EXCLUSIVE, "DOM");
        c14n.init((TransformParameterSpec) null);
        OctetStreamData result = (OctetStreamData) c14n.transform(
                new OctetStreamData(new ByteArrayInputStream(written.toByteArray())), null);
        return result.getOctetStream().readAllBytes();
    }
}
